"""Asking a PACS by DICOMweb: QIDO-RS for what there is, WADO-RS for the files as they are stored.

What belongs here: requests, answers, and what their failures mean to a person. What does not: what is asked for
(`pulling`) and where it goes (`landing`). PS3.18 sections 8.3, 10.4 and 10.6.
"""

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import Message
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.dicom.landing import Wanted
from pipelines.dicom.pulling import Deliver, Selection
from pipelines.dicom.tls import client_context
from pipelines.pacs import DicomWebServer
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient
    from requests import Response, Session

_AS_STORED = {
    "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',  # never transcoded
    "Accept-Encoding": "identity",  # radiographs are compressed already: again costs the PACS more than it saves
}
_NOT_SENT = frozenset({404, 406, 410, 500})
"""What a PACS says of a study that it has lost or cannot read: that one is missing, the others come."""
_ATTEMPTS = 3
_FIRST_PAUSE_MS = 250
_STUDY_DATE, _STUDY_TIME = "00080020", "00080030"
_MODALITIES, _MODALITY, _BODY_PART = "00080061", "00080060", "00180015"
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_STUDY_INSTANCES_N, _SERIES_INSTANCES_N = "00201208", "00201209"


class DicomWebArchive:
    """A PACS behind a DICOMweb address.

    Parameters
    ----------
    server : DicomWebServer
        Its settings; password and token are read from the environment.
    """

    def __init__(self, server: DicomWebServer) -> None:
        self._server = server
        self.connections = server.connections
        self._local = threading.local()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Do nothing: the PACS answers on the connection that asks."""
        yield

    def find(self, selection: Selection) -> list[Wanted]:
        """Ask for studies, and for the series of those of which not all may be wanted."""
        found: dict[str, dict[str, Any]] = {}
        with self._explained():
            for filters in _study_filters(selection):
                ask = partial(
                    self._client.search_for_studies,
                    search_filters=filters,
                    fields=[_MODALITIES, _STUDY_INSTANCES_N, _STUDY_TIME],
                )
                found.update(_all_pages(ask, _STUDY))
            ordered = sorted(
                found.items(),
                key=lambda one: (_text(one[1], _STUDY_DATE), _text(one[1], _STUDY_TIME), one[0]),
            )
            wanted = [self._wanted(uid, study, selection) for uid, study in ordered]
        return [one for one in wanted if one is not None and one.instances_n]

    def retrieve(self, batch: Sequence[Wanted], deliver: Deliver) -> None:
        """Fetch a batch, a study or series at a time; one whose connection is cut is asked for again."""
        for one in batch:
            study = f"{self._server.url.rstrip('/')}/studies/{one.study_uid}"
            for url in (
                [study] if one.series_uids is None else [f"{study}/series/{s}" for s in one.series_uids]
            ):
                for content in self._files(url):
                    deliver(content)

    def _files(self, url: str) -> list[bytes]:
        from requests import ConnectionError as CutError
        from requests import Timeout
        from requests.exceptions import ChunkedEncodingError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._explained(cut=attempt == _ATTEMPTS):
                    answer = self._session.get(url, headers=_AS_STORED, timeout=self._server.timeout_s)
                    if answer.status_code in _NOT_SENT:
                        return []
                    answer.raise_for_status()
                    return parts(answer)
            except (CutError, Timeout, ChunkedEncodingError):
                self._local.__dict__.clear()
        return []

    def _wanted(self, uid: str, study: Mapping[str, Any], selection: Selection) -> Wanted | None:
        modalities = [str(one) for one in _values(study, _MODALITIES)]
        instances_n = _number(study, _STUDY_INSTANCES_N)
        if modalities and instances_n is not None and selection.takes_all_of(modalities):
            return Wanted(uid, None, instances_n)
        fields = [_BODY_PART, _MODALITY, _SERIES_INSTANCES_N]
        every = _all_pages(partial(self._client.search_for_series, uid, fields=fields), _SERIES)
        series = [
            one for one in every.values() if selection.takes(_text(one, _MODALITY), _text(one, _BODY_PART))
        ]
        uids = tuple(sorted(_text(one, _SERIES) for one in series))
        counts = [
            n
            if (n := _number(one, _SERIES_INSTANCES_N)) is not None
            else len(
                _all_pages(partial(self._client.search_for_instances, uid, _text(one, _SERIES)), _INSTANCE)
            )
            for one in series
        ]
        return Wanted(uid, uids if len(uids) < len(every) else None, sum(counts)) if uids else None

    @property
    def _session(self) -> "Session":
        """A connection of this thread's own."""
        if not hasattr(self._local, "session"):
            self._local.session = _session(self._server)
        session: Session = self._local.session
        return session

    @property
    def _client(self) -> "DICOMwebClient":
        from dicomweb_client import DICOMwebClient

        if not hasattr(self._local, "client"):
            self._local.client = DICOMwebClient(
                self._server.url.rstrip("/"), session=self._session, timeout=self._server.timeout_s
            )
            # the library's own pauses add up to half a minute before it says that nobody answers
            self._local.client.set_http_retry_params(
                max_attempts=_ATTEMPTS, wait_exponential_multiplier=_FIRST_PAUSE_MS
            )
        client: DICOMwebClient = self._local.client
        return client

    @contextlib.contextmanager
    def _explained(self, *, cut: bool = True) -> Iterator[None]:
        """Turn what requests raises into what a person can do; `cut`: broken connections as well."""
        from requests import ConnectionError as CutError
        from requests import HTTPError, RequestException, Timeout
        from requests.exceptions import ChunkedEncodingError, SSLError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote addresses with identifiers
                yield
        except HTTPError as error:
            raise self._refused(error.response.status_code if error.response is not None else 0) from None
        except SSLError:
            raise self._fault(
                "no agreement on TLS (certificate not trusted?)", "correct [pacs.NAME.tls]"
            ) from None
        except (CutError, Timeout, ChunkedEncodingError) as error:
            if not cut:
                raise
            raise self._fault(
                f"no answer, or none to the end ({type(error).__name__})",
                "check `url` and that the PACS runs, then pull again: what came until now is kept",
            ) from None
        except (RequestException, ValueError, KeyError, TypeError) as error:
            raise self._fault(
                f"an answer that is not DICOMweb's ({type(error).__name__})",
                "check that `url` is the address of the DICOMweb service, such as https://pacs/dicom-web",
            ) from None

    def _refused(self, status: int) -> UnusableInputError:
        remedies = {
            401: "set `user` and `password_variable`, or `token_variable`, and the variable that it names",
            403: "have the PACS administrator allow this user to query and retrieve",
            404: "check that `url` is the address of the DICOMweb service, such as https://pacs/dicom-web",
        }
        return self._fault(
            f"HTTP status {status}", remedies.get(status, "ask the PACS administrator what the status means")
        )

    def _fault(self, found: str, remedy: str) -> UnusableInputError:
        return UnusableInputError(
            expected=f"a DICOMweb service at {self._server.url}", found=found, remedy=remedy
        )


def parts(answer: "Response") -> list[bytes]:
    """Return the files of an answer in parts (RFC 2046 section 5.1), byte for byte.

    Raises
    ------
    ValueError
        When it is not in parts, or its last part is cut off.
    """
    kind = Message()
    kind["Content-Type"] = answer.headers.get("Content-Type", "")
    boundary = kind.get_boundary()
    if kind.get_content_maintype() != "multipart" or not boundary:
        raise ValueError("expected an answer in parts")
    pieces = (b"\r\n" + answer.content).split(b"\r\n--" + boundary.encode("ascii"))
    if not pieces[-1].startswith(b"--"):
        raise ValueError("expected an answer that ends with its boundary")
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


def _session(server: DicomWebServer) -> "Session":
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    session.trust_env = False  # no proxy and no netrc: patients' files go where the settings say
    if server.tls is not None:
        context = client_context(server.tls)

        class Adapter(HTTPAdapter):
            """Connects with the settings' TLS."""

            def init_poolmanager(self, *words: Any, **named: Any) -> None:  # noqa: ANN401 - passed through
                super().init_poolmanager(*words, ssl_context=context, **named)

        session.mount("https://", Adapter())
        session.verify = server.tls.ca or True
    if server.user is not None:
        session.auth = (server.user, _secret(server.password_variable, "password_variable"))
    if server.token_variable is not None:
        session.headers["Authorization"] = f"Bearer {_secret(server.token_variable, 'token_variable')}"
    return session


def _secret(variable: str | None, setting: str) -> str:
    value = os.environ.get(variable or "")
    if not value:
        raise UnusableInputError(
            expected=f"an environment variable, named by `{setting}`, that holds the secret",
            found="none that is set",
            remedy=f"set `{setting}` to a variable's name, and that variable where the command and Dagster run",
        )
    return value


def _study_filters(selection: Selection) -> list[dict[str, Any]]:
    filters = []
    for window in selection.windows():
        for modality in selection.modalities or ("",):
            for accession in selection.accessions or ("",):
                wanted = {
                    "StudyDate": window,
                    "ModalitiesInStudy": modality,
                    "AccessionNumber": accession,
                }
                filters.append({name: value for name, value in wanted.items() if value})
    return filters


def _all_pages(ask: Callable[..., list[dict[str, Any]]], unique: str) -> dict[str, dict[str, Any]]:
    """Ask page by page until one brings nothing new: some services page unasked, some know no offset."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = ask(offset=len(found)) if found else ask()
        new = {uid: one for one in page if (uid := _text(one, unique)) and uid not in found}
        if not new:
            return found
        found.update(new)


def _values(found: Mapping[str, Any], tag: str) -> list[Any]:
    return [value for value in found.get(tag, {}).get("Value", []) if value is not None]


def _text(found: Mapping[str, Any], tag: str) -> str:
    return str(next(iter(_values(found, tag)), "")).strip(" \0")


def _number(found: Mapping[str, Any], tag: str) -> int | None:
    text = _text(found, tag)
    return int(text) if text.isdecimal() else None
