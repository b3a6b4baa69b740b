"""From DICOM chest radiographs to evidence about pneumothorax models.

Importing this package switches off the telemetry of every library it uses, before any of them is imported:
a hospital's machine tells nobody that it runs.
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

for _name, _value in _TELEMETRY_OFF.items():
    os.environ.setdefault(_name, _value)
