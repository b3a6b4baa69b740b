"""Asking a PACS in DICOM's own protocol: C-FIND, then C-MOVE to a receiver of ours, or C-GET.

What belongs here: associations, queries, and what their failures mean to a person. What does not: what is asked for
(`pulling`) and where it goes (`landing`). PS3.4 annexes B and C; Study Root information model.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as Find,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as Get,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as Move,
)

from pipelines.dicom.landing import Fate, Wanted
from pipelines.dicom.pulling import Deliver, Selection
from pipelines.dicom.reading_admission import SOP_CLASSES
from pipelines.dicom.receiving import (
    MAX_PDU_BYTES,
    Receiver,
    acknowledge_at_once,
    answer,
    send_at_once,
    store_contexts,
)
from pipelines.dicom.tls import client_context, server_context
from pipelines.pacs import DicomServer
from pipelines.records import UnusableInputError

_config.LOG_HANDLER_LEVEL = "none"  # its messages quote identifiers, and composing them costs time
_ATTEMPTS = 3
_PENDING = frozenset({0xFF00, 0xFF01})
_MOVE_DESTINATION_UNKNOWN = 0xA801
_REFUSED = {  # PS3.8 section 9.3.4, as far as a person can do something about it
    (1, 3): ("our AE title among those that it knows", "it does not know the calling AE title `{ours}`"),
    (1, 7): ("the AE title under which it answers", "it does not answer to the called AE title `{theirs}`"),
    (3, 1): ("a free association", "it has too many connections at the moment"),
    (3, 2): ("a free association", "its limit of connections is reached"),
}
_REMEDIES = {
    (1, 3): "have the PACS administrator add it, or correct `our_ae_title`",
    (1, 7): "correct `ae_title`",
    (3, 1): "try again later, or lower `connections`",
    (3, 2): "try again later, or lower `connections`",
}


class DicomArchive:
    """A PACS in DICOM's own protocol.

    Parameters
    ----------
    server : DicomServer
        Its settings.
    """

    def __init__(self, server: DicomServer) -> None:
        self._server = server
        self.connections = server.connections
        self._deliver: Deliver | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Receive what C-MOVE makes the PACS send, while the block lasts; C-GET needs no receiver."""
        with self._associated():  # says what is wrong with the PACS before anything is set up
            pass
        if self._server.retrieve == "get":
            yield
            return
        receiver = Receiver(self._server, self._receive, server_context(self._server.tls))
        with receiver:
            yield

    def find(self, selection: Selection) -> list[Wanted]:
        """Ask for studies, and for the series of those of which not all may be wanted."""
        found: dict[str, tuple[tuple[str, str, str], Dataset]] = {}
        with self._associated() as association:
            for query in _study_queries(selection):
                for study in self._ask(association, query):
                    uid = _text(study, "StudyInstanceUID")
                    if uid:
                        found[uid] = ((_text(study, "StudyDate"), _text(study, "StudyTime"), uid), study)
            ordered = [study for _, study in sorted(found.values(), key=lambda entry: entry[0])]
            wanted = [self._wanted(association, study, selection) for study in ordered]
        return [one for one in wanted if one is not None and one.instances_n]

    def retrieve(self, batch: Sequence[Wanted], deliver: Deliver) -> None:
        """Fetch a batch: whole studies by one request, parts of studies by one each."""
        self._deliver = deliver
        whole = [one.study_uid for one in batch if one.series_uids is None]
        requests = [_request("STUDY", StudyInstanceUID=whole)] if whole else []
        requests += [
            _request("SERIES", StudyInstanceUID=one.study_uid, SeriesInstanceUID=list(one.series_uids))
            for one in batch
            if one.series_uids is not None
        ]
        for request in requests:
            self._retrieve(request, deliver)

    def _retrieve(self, request: Dataset, deliver: Deliver) -> None:
        """Send one request; one whose connection is cut is sent again, what came stays."""
        for attempt in range(1, _ATTEMPTS + 1):
            with self._associated(deliver) as association:
                if self._server.retrieve == "get":
                    answers = association.send_c_get(request, Get)
                else:
                    answers = association.send_c_move(request, self._server.our_ae_title, Move)
                status = None
                for said, _ in answers:
                    status = said.Status if "Status" in said else None
            if status is not None:
                self._require_known(status)
                return
            if attempt == _ATTEMPTS:
                raise self._cut_off()

    def _receive(self, content: bytes) -> Fate:
        if self._deliver is None:
            return Fate.FOREIGN
        return self._deliver(content)

    def _wanted(self, association: Association, study: Dataset, selection: Selection) -> Wanted | None:
        """Return what is wanted of a study; its series are asked for where the study does not tell enough."""
        uid = _text(study, "StudyInstanceUID")
        modalities = _values(study, "ModalitiesInStudy")
        instances_n = _number(study, "NumberOfStudyRelatedInstances")
        if modalities and instances_n is not None and selection.takes_all_of(modalities):
            return Wanted(uid, None, instances_n)
        query = _request(
            "SERIES",
            StudyInstanceUID=uid,
            SeriesInstanceUID="",
            Modality="",
            BodyPartExamined="",
            NumberOfSeriesRelatedInstances="",
        )
        every = list(self._ask(association, query))
        series = [
            one for one in every if selection.takes(_text(one, "Modality"), _text(one, "BodyPartExamined"))
        ]
        counts = [
            n
            if (n := _number(one, "NumberOfSeriesRelatedInstances")) is not None
            else self._instances_n(association, uid, _text(one, "SeriesInstanceUID"))
            for one in series
        ]
        uids = tuple(sorted(_text(one, "SeriesInstanceUID") for one in series))
        return Wanted(uid, uids if len(uids) < len(every) else None, sum(counts)) if uids else None

    def _instances_n(self, association: Association, study: str, series: str) -> int:
        """Count the instances of a series one by one: not every PACS counts them."""
        query = _request("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID="")
        return sum(1 for _ in self._ask(association, query))

    def _ask(self, association: Association, query: Dataset) -> Iterator[Dataset]:
        status = None
        for said, found in association.send_c_find(query, Find):
            status = said.Status if "Status" in said else None
            if status in _PENDING and found is not None:
                yield found
        if status is None:
            raise self._cut_off()
        if status != 0:
            raise UnusableInputError(
                expected=f"an answer of {self._name} to a query (C-FIND)",
                found=f"status 0x{status:04X}",
                remedy="ask for fewer dates at once, or have the PACS administrator allow queries",
            )

    def _require_known(self, status: int) -> None:
        if status == _MOVE_DESTINATION_UNKNOWN:
            server = self._server
            raise UnusableInputError(
                expected=f"{self._name} to know where to send",
                found=f"it does not know the AE title `{server.our_ae_title}` as a destination (0xA801)",
                remedy=f"have the PACS administrator add `{server.our_ae_title}` with this machine's address and "
                f'port {server.our_port}, or set `retrieve = "get"`',
            )

    @contextlib.contextmanager
    def _associated(self, deliver: Deliver | None = None) -> Iterator[Association]:
        """Open an association, and say what a person can do when there is none."""
        server = self._server
        entity = AE(ae_title=server.our_ae_title)
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.acse_timeout = entity.connection_timeout = server.timeout_s
        entity.dimse_timeout = entity.network_timeout = server.timeout_s
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, send_at_once), (evt.EVT_DATA_SENT, acknowledge_at_once)]
        roles: list[Any] = []
        if server.retrieve == "get":
            entity.requested_contexts = [build_context(Get), build_context(Find), *store_contexts()]
            roles = [build_role(uid, scp_role=True) for uid in SOP_CLASSES]
            if deliver is not None:
                handlers.append((evt.EVT_C_STORE, _storing(deliver)))
        else:
            entity.requested_contexts = [build_context(Move), build_context(Find)]
        association = self._attempt(entity, roles, handlers)
        if not association.is_established:
            raise self._refused(association)
        _keep_answers(association)
        try:
            self._require_services(association)
            yield association
        finally:
            if association.is_established:
                association.release()

    def _attempt(self, entity: AE, roles: list[Any], handlers: list[Any]) -> Association:
        """Ask for an association; again when the connection was closed at once, which may hide why."""
        server = self._server
        tls = client_context(server.tls)
        for attempt in range(1, _ATTEMPTS + 1):
            started = time.monotonic()
            association = entity.associate(
                server.host,
                server.port,
                ae_title=server.ae_title,
                ext_neg=roles,
                evt_handlers=handlers,
                tls_args=(tls, server.host) if tls else None,
            )
            if association.is_established or association.is_rejected or time.monotonic() - started > 1:
                break
            time.sleep(0.1 * attempt)
        return association

    def _require_services(self, association: Association) -> None:
        offered = {context.abstract_syntax for context in association.accepted_contexts}
        service, other = (Get, "move") if self._server.retrieve == "get" else (Move, "get")
        lacking = [name for uid, name in ((Find, "queries"), (service, "retrieval")) if uid not in offered]
        if lacking:
            raise UnusableInputError(
                expected=f"{self._name} to offer query and retrieve (Study Root)",
                found=f"it offers no {' and no '.join(lacking)} of the kind `{self._server.retrieve}`",
                remedy=f'set `retrieve = "{other}"`, or have the PACS administrator allow it for '
                f"`{self._server.our_ae_title}`",
            )

    def _refused(self, association: Association) -> UnusableInputError:
        server = self._server
        refusal = association.acceptor.primitive
        if association.is_rejected and refusal is not None:
            reason = (refusal.result_source or 0, refusal.diagnostic or 0)
            expected, found = _REFUSED.get(
                reason, ("an association", "it refuses the association, without a reason")
            )
            return UnusableInputError(
                expected=f"{expected}, of {self._name}",
                found=found.format(ours=server.our_ae_title, theirs=server.ae_title),
                remedy=_REMEDIES.get(reason, "ask the PACS administrator whether this machine may connect"),
            )
        return UnusableInputError(
            expected=f"a PACS at {server.host} port {server.port}",
            found=_connection_fault(server),
            remedy="check `host`, `port` and `tls`, that the PACS runs, and that no firewall stands between",
        )

    def _cut_off(self) -> UnusableInputError:
        return UnusableInputError(
            expected=f"{self._name} to answer to the end",
            found=f"the connection was cut, or {self._server.timeout_s:g} s passed without a word",
            remedy="pull again: what came until now is kept. If it happens at once each time, have the PACS "
            f"administrator allow `{self._server.our_ae_title}`; if after a while, raise `timeout_s`",
        )

    @property
    def _name(self) -> str:
        return f"{self._server.ae_title} at {self._server.host}:{self._server.port}"


def _storing(deliver: Deliver) -> Any:  # noqa: ANN401 - pynetdicom's handlers are untyped
    def store(event: evt.Event) -> int:
        return answer(event, deliver)

    return store


def _keep_answers(association: Association) -> None:
    """Let nobody but the one who asked take an answer from the queue.

    The thread that pynetdicom (3.0.4) runs for requests from the other side may pass its pause just before it is
    told to, take the answer to our first query, and drop it: about one association in twenty on a busy machine. A
    PACS sends us requests only within a C-GET, whose own loop waits for them.
    """
    take = association.dimse.get_msg

    def only_who_waits(*, block: bool = False) -> Any:  # noqa: ANN401 - pynetdicom's pair
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = only_who_waits  # type: ignore[method-assign,assignment]


def _connection_fault(server: DicomServer) -> str:
    """Return why there is no association, by trying the steps before it."""
    try:
        with socket.create_connection((server.host, server.port), timeout=server.timeout_s) as plain:
            tls = client_context(server.tls)
            if tls is not None:
                with tls.wrap_socket(plain, server_hostname=server.host):
                    pass
    except ssl.SSLError as error:
        return f"no agreement on TLS ({error.reason or 'certificate not trusted'})"
    except OSError as error:
        return f"no answer ({error.strerror or type(error).__name__})"
    return "it accepts the connection and answers nothing that DICOM knows, or closes it at once"


def _study_queries(selection: Selection) -> list[Dataset]:
    """One query for each window of dates, modality and accession number: lists are not understood everywhere."""
    return [
        _request(
            "STUDY",
            StudyDate=window,
            StudyTime="",
            AccessionNumber=accession,
            ModalitiesInStudy=modality,
            StudyInstanceUID="",
            NumberOfStudyRelatedInstances="",
        )
        for window in selection.windows()
        for modality in selection.modalities or ("",)
        for accession in selection.accessions or ("",)
    ]


def _request(level: Literal["STUDY", "SERIES", "IMAGE"], **keys: Any) -> Dataset:  # noqa: ANN401 - of any attribute
    request = Dataset()
    request.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(request, keyword, value)
    return request


def _text(found: Dataset, keyword: str) -> str:
    return str(found.get(keyword, None) or "").strip(" \0")


def _values(found: Dataset, keyword: str) -> list[str]:
    value = found.get(keyword, None)
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _number(found: Dataset, keyword: str) -> int | None:
    text = _text(found, keyword)
    return int(text) if text.isdecimal() else None
