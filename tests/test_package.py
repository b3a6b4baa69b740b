import subprocess
import sys


def _after_import(expression: str) -> tuple[str, str]:
    code = f"import pipelines, os, cv2; print({expression})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.strip()


def test_opencv_renders_the_same_bits_wherever_memory_lies_and_says_nothing_of_it() -> None:
    assert _after_import("cv2.ipp.useIPP()") == ("False", "")


def test_telemetry_is_off_before_any_library_is_imported() -> None:
    names = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "GX_ANALYTICS_ENABLED", "RAY_USAGE_STATS_ENABLED")
    values, _ = _after_import(f"[os.environ.get(name) for name in {names}]")
    assert values == "['true', '1', 'false', '0']"
