"""Telling people that a run failed, where they look: a Slack channel, an e-mail. Off unless settings name one.

Texts are made of names of jobs and stages and of run ids: nothing that a file or a patient is called.
"""

import json
import smtplib
import urllib.request
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from functools import partial

from pipelines.settings import Notify

_SECONDS = 20.0


def tell(notify: Notify, subject: str, text: str) -> list[str]:
    """Send a text everywhere that settings name.

    Returns
    -------
    list of str
        What could not be told, and why: the way and the error's class. Telling never fails a run.
    """
    failed = []
    for way, send in _ways(notify, subject, text):
        try:
            send()
        except (OSError, smtplib.SMTPException) as error:
            failed.append(f"{way} ({type(error).__name__})")
    return failed


def _ways(notify: Notify, subject: str, text: str) -> Iterator[tuple[str, Callable[[], None]]]:
    if notify.slack_webhook is not None:
        yield "Slack", partial(_post, notify.slack_webhook.get_secret_value(), f"*{subject}*\n{text}")
    if notify.email_to:
        yield "e-mail", partial(_mail, notify, subject, text)


def _post(url: str, text: str) -> None:
    request = urllib.request.Request(  # noqa: S310 - the settings allow http(s) only
        url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - as above
        pass


def _mail(notify: Notify, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = subject, notify.email_from
    message["To"] = ", ".join(notify.email_to)
    message.set_content(text)
    with smtplib.SMTP(notify.smtp_host, notify.smtp_port, timeout=_SECONDS) as server:
        if notify.smtp_tls:
            server.starttls()
        if notify.smtp_user:
            server.login(notify.smtp_user, notify.smtp_password.get_secret_value())
        server.send_message(message)
