"""What asks for runs and tells of them, through Dagster's own contexts; a real web and mail server on loopback."""

import email
import email.policy
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from pipelines.orchestration import sensors
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.jobs import jobs
from pipelines.orchestration.launch import dagster_home
from pipelines.orchestration.resources import House
from pipelines.orchestration.schedules import nightly_schedule
from pipelines.orchestration.sensors import failure_sensor, labels_sensors
from pipelines.orchestration.telling import tell
from pipelines.records import UnusableInputError
from pipelines.settings import Notify, load_settings


@pytest.fixture
def mail() -> Iterator[tuple[int, list[str]]]:
    """A mail server that takes everything."""
    got: list[str] = []

    class Server(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    message = email.message_from_bytes(text, policy=email.policy.default)
                    got.append(f"{message['Subject']}\nTo: {message['To']}\n{message.get_content()}")
                self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], got
        server.shutdown()


def _failed_run() -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    @dg.op(name="tmc__deidentified")
    def fails() -> None:
        raise ValueError("Dela Cruz^Maria in /export/delacruz.dcm")

    @dg.job
    def nightly() -> None:
        fails()

    instance = dg.DagsterInstance.ephemeral()
    return instance, nightly.execute_in_process(instance=instance, raise_on_error=False)


def test_a_failed_run_is_told_by_name_of_job_and_stage_and_by_nothing_else(
    slack: tuple[str, list[str]], mail: tuple[int, list[str]]
) -> None:
    notify = Notify(
        slack_webhook=slack[0],  # type: ignore[arg-type]
        email_to=("a@hospital.example", "b@hospital.example"),
        smtp_host="127.0.0.1",
        smtp_port=mail[0],
        smtp_tls=False,
    )
    instance, result = _failed_run()
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    failure_sensor(notify)(context)
    assert len(slack[1]) == len(mail[1]) == 1
    for text in (slack[1][0], mail[1][0]):
        assert "nightly failed" in text
        assert result.run_id in text
        assert "tmc__deidentified" in text
        assert "ruz" not in text
    assert "To: a@hospital.example, b@hospital.example" in mail[1][0]


def test_nobody_is_told_by_default_and_telling_never_fails() -> None:
    assert tell(Notify(), "x", "y") == []
    away = Notify(
        slack_webhook="http://127.0.0.1:1/hook",  # type: ignore[arg-type]
        email_to=("a@b",),
        smtp_host="127.0.0.1",
        smtp_port=1,
    )
    assert tell(away, "x", "y") == ["Slack (URLError)", "e-mail (ConnectionRefusedError)"]


def test_a_webhook_that_is_none_is_refused_and_never_shown() -> None:
    with pytest.raises(UnusableInputError, match="slack_webhook"):
        load_settings(notify={"slack_webhook": "file:///etc/passwd"})
    assert "secret-path" not in str(Notify(slack_webhook="https://hooks.example/secret-path"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "reason"),
    [(None, "no model yet"), (19, "19 newly labelled radiographs of 20"), (20, ""), (400, "")],
)
def test_training_is_asked_for_from_a_stated_number_of_new_labels_on(
    make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch, known: int | None, reason: str
) -> None:
    monkeypatch.setattr(sensors, "newly_labelled", lambda *_: known)
    (one,) = _said(make_house(retrain_after_labels=20))
    if reason:
        assert isinstance(one, dg.SkipReason)
        assert reason in str(one.skip_message)
    else:
        assert isinstance(one, dg.RunRequest)
        assert (one.job_name, one.tags["new_labels"]) == ("finetune_tmc", str(known))
    (off,) = _said(make_house())
    assert isinstance(off, dg.SkipReason)


def _said(house: House) -> list[object]:
    (sensor,) = labels_sensors(house, jobs(house, stages_of(house)))
    return list(sensor(dg.build_sensor_context()))  # type: ignore[call-overload]


def test_each_night_ticks_once_where_clocks_change(make_house: Callable[..., House]) -> None:
    place = "Europe/Berlin"  # 29 March 2026: 02:00 becomes 03:00; 25 October: 03:00 becomes 02:00 again
    schedule = nightly_schedule(make_house(nightly_at="02:30", timezone=place), [], [])
    for month, first in ((3, 27), (10, 23)):
        start = datetime(2026, month, first, 12, tzinfo=ZoneInfo(place)).timestamp()
        ticks = cron_string_iterator(start, str(schedule.cron_schedule), schedule.execution_timezone)
        nights = [next(ticks) for _ in range(4)]
        assert [one.day for one in nights] == [first + n for n in range(1, 5)]
        assert all(one.hour in (2, 3) for one in nights)
        assert len({one.astimezone(UTC) for one in nights}) == 4


def test_a_second_run_waits_for_the_first(tmp_path: Path, make_house: Callable[..., House]) -> None:
    del tmp_path
    folder = dagster_home(make_house().settings)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 1
