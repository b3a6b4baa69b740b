"""Receiving what a PACS sends: only from the configured one, only while a pull lasts.

What belongs here: the storage service that C-MOVE sends to (PS3.4 annex B). What does not: asking for anything.
"""

import socket
import socketserver
import threading
from collections.abc import Callable
from functools import cache
from socket import IPPROTO_TCP, TCP_NODELAY, gaierror, getaddrinfo
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
    RLETransferSyntaxes,
)
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from pipelines.dicom.landing import Fate
from pipelines.dicom.reading_admission import SOP_CLASSES
from pipelines.pacs import DicomServer
from pipelines.records import UnusableInputError

TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
MAX_PDU_BYTES = 131_072  # the largest that DCMTK, and what is built on it, sends
_SUCCESS, _OUT_OF_RESOURCES, _NOT_ASKED_FOR = 0x0000, 0xA700, 0xA900
_TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    *JPEGTransferSyntaxes,
    *JPEGLSTransferSyntaxes,
    *JPEG2000TransferSyntaxes,
    *RLETransferSyntaxes,
]
_FIRST_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
]


def store_contexts() -> list[PresentationContext]:
    """Return the classes of radiographs for a C-GET: 128 contexts at most, each takes one transfer syntax."""
    return [build_context(uid, syntax) for uid in SOP_CLASSES for syntax in _FIRST_SYNTAXES]


def answer(event: evt.Event, deliver: Callable[[bytes], Fate]) -> int:
    """Hand over what a C-STORE request brings; return the status that it is answered with (PS3.4 table B.2-1)."""
    try:
        fate = deliver(event.encoded_dataset(include_meta=True))
    except UnusableInputError:  # the pull that waits for it says why
        return _OUT_OF_RESOURCES
    return _NOT_ASKED_FOR if fate is Fate.FOREIGN else _SUCCESS


def send_at_once(event: evt.Event) -> None:
    """Send short messages as soon as they are there: waiting to fill a packet costs 40 ms a query (RFC 896)."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def acknowledge_at_once(event: evt.Event) -> None:
    """Acknowledge the answer that is due without waiting: a PACS that fills packets waits for it, 40 ms a query."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None and TCP_QUICKACK is not None:
        connection.socket.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)


class Receiver:
    """A storage service for one PACS: other addresses and AE titles get no answer.

    Parameters
    ----------
    server : DicomServer
        Who may send, and where we listen.
    deliver : callable
        Given each file.
    tls : SSLContext or None
        With which connections are accepted.
    """

    def __init__(
        self, server: DicomServer, deliver: Callable[[bytes], Fate], tls: SSLContext | None = None
    ) -> None:
        self._server, self._deliver, self._tls = server, deliver, tls

    def __enter__(self) -> Self:
        entity = AE(ae_title=self._server.our_ae_title)
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.require_calling_aet = [self._server.ae_title]
        entity.require_called_aet = True
        entity.network_timeout = self._server.timeout_s
        entity.supported_contexts = _all_contexts()
        try:
            self._listening = entity.make_server(
                (self._server.our_host, self._server.our_port),
                ssl_context=self._tls,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, send_at_once),
                    (evt.EVT_DATA_RECV, acknowledge_at_once),
                    (evt.EVT_C_STORE, lambda event: answer(event, self._deliver)),
                ],
                server_class=_answering(_addresses(self._server)),
            )
        except OSError as error:
            raise UnusableInputError(
                expected=f"to listen on port {self._server.our_port}, where the PACS sends to",
                found=f"it cannot be opened ({error.strerror or type(error).__name__})",
                remedy="end what listens there (another pull?), or correct `our_host` and `our_port` here and at the "
                "PACS",
            ) from None
        self._thread = threading.Thread(target=self._listening.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        socketserver.BaseServer.shutdown(self._listening)
        self._thread.join()
        for association in self._listening.active_associations:
            association.abort()
        self._listening.server_close()


@cache
def _all_contexts() -> list[PresentationContext]:
    """Return every storage class: what is no radiograph is set aside with its reason, not refused in silence."""
    return [
        build_context(str(known.abstract_syntax), list(_TRANSFER_SYNTAXES))
        for known in AllStoragePresentationContexts
    ]


def _answering(addresses: frozenset[str]) -> type[Any]:
    class Answering(ThreadedAssociationServer):
        """Closes connections from other addresses before a word is exchanged."""

        def verify_request(self, request: object, client_address: Any) -> bool:  # noqa: ANN401 - host, port, …
            del request
            return str(client_address[0]).removeprefix("::ffff:") in addresses

    return Answering


def _addresses(server: DicomServer) -> frozenset[str]:
    """Return the addresses that the PACS may send from."""
    found = set()
    for host in (server.host, *server.senders):
        try:
            found |= {str(entry[4][0]) for entry in getaddrinfo(host, None)}
        except gaierror:
            raise UnusableInputError(
                expected="host names that can be looked up",
                found=f"`{host}`",
                remedy="correct `host` or `senders`",
            ) from None
    return frozenset(found)
