"""Programs as jobs of a Ray cluster: started, watched, asked to stop, never left behind.

A job and the run that started it share a folder. There the run keeps a lease, and the job ends when that is given up
(`attended`): Ray's own way of stopping a job ends the processes that feed a training, too, before it could save.
"""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from pipelines.engine.attended import LEASE
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

_FOLDER: Final = "pdeseray_folder"
"""The job's metadata that says in which folder it writes."""
_LOOK_S: Final = 0.5
_TOUCH_S: Final = 5.0
PATIENCE_S: Final = 180.0
"""How long a job waits for a run that does not touch the lease: longer than shared folders take to show it."""
_STOP_S: Final = 180.0
"""How long a job may take to save its state before it is ended."""
_SILENCE_S: Final = 120.0
"""How long the job server may not answer before the run gives up."""


class Jobs:
    """The job server of a cluster.

    Parameters
    ----------
    dashboard
        Host and port of the cluster's dashboard, which takes jobs.
    interpreter
        Python of the cluster's workers.
    has_gpus
        Whether a job takes a GPU beside its CPU.

    Raises
    ------
    UnusableInputError
        When it does not answer.
    """

    def __init__(self, dashboard: str, *, interpreter: str, has_gpus: bool) -> None:
        from ray.job_submission import JobSubmissionClient

        try:
            self._client: JobSubmissionClient = JobSubmissionClient(f"http://{dashboard}")
        except (ConnectionError, RuntimeError) as error:
            raise UnusableInputError(
                expected=f"the cluster's job server at {dashboard}",
                found=f"none that answers ({type(error).__name__})",
                remedy="start the head with its dashboard, from an environment with ray[default]; see docs/deploy.md",
            ) from None
        self._interpreter, self._has_gpus = interpreter, has_gpus

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """See ``Engine.run``."""
        self._stop_leftovers(folder)
        with _leased(folder / LEASE):
            job = self._client.submit_job(
                entrypoint=shlex.join(self._words(command, folder)),
                metadata={_FOLDER: str(folder)},
                runtime_env={
                    "env_vars": {
                        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),  # Ray would set 1
                        "RAY_JOB_STOP_WAIT_TIME_S": str(round(_STOP_S)),
                        **environment,
                    }
                },
                entrypoint_num_cpus=1,
                entrypoint_num_gpus=1 if self._has_gpus else None,
            )
            try:
                ended = self._watched(job)
            except BaseException:
                self._stop(job, folder)
                raise
        if ended.driver_exit_code is not None:
            return int(ended.driver_exit_code)
        raise UnusableInputError(
            expected="a cluster that carries the program to its end",
            found=f"{ended.status}: {_first_line(ended.message)}",
            remedy="run again when the cluster stands: the program continues from its last state",
        )

    def _words(self, command: Sequence[str], folder: Path) -> list[str]:
        first = self._interpreter if command[0] == sys.executable else command[0]
        attended = [self._interpreter, "-m", "pipelines.engine.attended", str(folder), str(PATIENCE_S)]
        return [*attended, first, *command[1:]]

    def _watched(self, job: str) -> "JobDetails":
        """Wait for a job's end; a job server that is away for a moment changes nothing."""
        answered = time.monotonic()
        while True:
            try:
                found = self._client.get_job_info(job)
                answered = time.monotonic()
                if found.status.is_terminal():
                    return found
            except (ConnectionError, OSError, RuntimeError) as error:
                if time.monotonic() - answered > _SILENCE_S:
                    raise UnusableInputError(
                        expected="the cluster's job server while the program runs",
                        found=f"no answer for {_SILENCE_S:.0f} s ({type(error).__name__})",
                        remedy="run again when the cluster stands: the program continues from its last state",
                    ) from None
            time.sleep(_LOOK_S)

    def _stop(self, job: str, folder: Path) -> None:
        """Ask a job to save its state and stop; end it when it does not."""
        (folder / LEASE).unlink(missing_ok=True)
        from ray.job_submission import JobStatus

        until = time.monotonic() + _STOP_S
        try:
            while not (status := self._client.get_job_status(job)).is_terminal():
                if status == JobStatus.PENDING or time.monotonic() > until:
                    self._client.stop_job(job)
                    return
                time.sleep(_LOOK_S)
        except (ConnectionError, OSError, RuntimeError):
            return  # nobody to ask; without its lease the job ends by itself

    def _stop_leftovers(self, folder: Path) -> None:
        """Stop what a run that was killed left behind: two programs must not write in one folder."""
        for job in self._client.list_jobs():
            is_ours = (job.metadata or {}).get(_FOLDER) == str(folder)
            if is_ours and job.submission_id and not job.status.is_terminal():
                self._stop(job.submission_id, folder)


def interpreter_of(ray: Any) -> str:  # noqa: ANN401 - the module: imported where it is used
    """Return the path of Python on the cluster's workers, which may lie elsewhere than here."""
    found: str = ray.get(ray.remote(num_cpus=1)(_interpreter).remote())
    return found


def _interpreter() -> str:
    return sys.executable


@contextmanager
def _leased(lease: Path) -> Iterator[None]:
    """Touch a file again and again, as long as the block runs; then it is gone."""
    ended = Event()

    def touch() -> None:
        while not ended.wait(_TOUCH_S):
            try:
                os.utime(lease)
            except FileNotFoundError:  # given up: the job is being stopped
                return
            except OSError:  # a shared folder that is away for a moment
                continue

    lease.touch()
    thread = Thread(target=touch, name="keep lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        lease.unlink(missing_ok=True)


def _first_line(message: str | None) -> str:
    return (message or "no reason given").strip().splitlines()[0]
