"""From DICOM chest radiographs to evidence about pneumothorax models.

Importing this package switches off the telemetry of every library it uses, before any of them is imported:
a hospital's machine tells nobody that it runs. It also switches off OpenCV's Intel routines, whose last bits
depend on where memory happens to lie: the same film must render to the same bytes.
"""

import os

_TELEMETRY_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
}

_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # bars of its own in the midst of ours
}

_SAME_BITS = {
    "OPENCV_IPP": "disabled",
    "OPENCV_LOG_LEVEL": "ERROR",  # it would warn of that in every process
}

for _name, _value in {**_TELEMETRY_OFF, **_QUIET, **_SAME_BITS}.items():
    os.environ.setdefault(_name, _value)
