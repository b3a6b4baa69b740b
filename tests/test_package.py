import os
import subprocess
import sys


def _after_import(expression: str) -> tuple[str, str]:
    code = f"import pipelines, os, cv2; print({expression})"
    bare = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LD_LIBRARY_PATH"}}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    return done.stdout.strip(), done.stderr.strip()


def test_opencv_renders_the_same_bits_wherever_memory_lies_and_says_nothing_of_it() -> None:
    assert _after_import("cv2.ipp.useIPP()") == ("False", "")


def test_telemetry_is_off_before_any_library_is_imported() -> None:
    for name, off in (
        ("MLFLOW_DISABLE_TELEMETRY", {"true"}),
        ("DO_NOT_TRACK", {"1", "true"}),
        ("GX_ANALYTICS_ENABLED", {"false"}),
        ("RAY_USAGE_STATS_ENABLED", {"0"}),
    ):
        value, _ = _after_import(f"os.environ.get({name!r})")
        assert value in off
