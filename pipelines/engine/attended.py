"""Run a program on a machine of a cluster for a run on another machine: it ends when that run does.

    python -m pipelines.engine.attended FOLDER PATIENCE_S WORD...

What the program prints goes to FOLDER/output.txt, where the run looks. The run touches FOLDER/launcher as long as it
wants the program; when that file is gone, or has not been touched for PATIENCE_S seconds, the program is asked to stop
(SIGTERM) and waited for. Only the standard library is needed.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipelines.engine.outcomes import OUTPUT

LEASE = "launcher"
"""Touched by the run that wants the program."""
_LOOK_S = 1.0


class Lease:
    """Whether somebody still wants the program; clocks of two machines are never compared."""

    def __init__(self, path: Path, patience_s: float) -> None:
        self._path, self._patience_s = path, patience_s
        self._touched: int | None = None
        self._seen = time.monotonic()

    @property
    def stands(self) -> bool:
        """Whether the file is there and was touched of late."""
        try:
            touched = self._path.stat().st_mtime_ns
        except OSError:
            return False
        if touched != self._touched:
            self._touched, self._seen = touched, time.monotonic()
        return time.monotonic() - self._seen < self._patience_s


def main(folder: Path, patience_s: float, command: list[str]) -> int:
    """Run the program; return its exit code as a shell would."""
    lease = Lease(folder / LEASE, patience_s)
    # a variable that is empty is one that the run did not have: Ray sets some of its own
    environment = {name: value for name, value in os.environ.items() if value}
    with (folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    is_asked = False
    while True:
        try:
            code = process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if not is_asked and not lease.stands:
                is_asked = True
                process.terminate()
            continue
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
