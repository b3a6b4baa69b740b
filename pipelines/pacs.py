"""What a PACS is: where it answers, under which names, and how we show who we are.

A PACS is data, not code: a ``[pacs.NAME]`` table in pdeseray.toml. Passwords and tokens are never in that file, only
the names of the variables that hold them.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

_AE_TITLE = r"^[\x20-\x5b\x5d-\x7e]{1,16}$"  # PS3.5 table 6.2-1, AE: sixteen characters, no backslash


class Tls(BaseModel):
    """Transport Layer Security: passed through to OpenSSL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: str | None = None
    """File of certificates (PEM) that vouch for the PACS; without it, those of the operating system."""
    certificate: str | None = None
    key: str | None = None
    """Our own certificate and its key (PEM), where the PACS asks for them."""
    check_hostname: bool = True
    """Whether the certificate must name the host that we connect to."""


class DicomServer(BaseModel):
    """A PACS that speaks DICOM's own protocol: C-FIND, then C-MOVE or C-GET."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dicom"]
    host: str
    port: int = Field(default=104, gt=0, lt=65536)
    ae_title: str = Field(pattern=_AE_TITLE)
    our_ae_title: str = Field(default="PDESERAY", pattern=_AE_TITLE)
    our_host: str = "0.0.0.0"  # noqa: S104 - all addresses of this machine; who is answered is decided below
    our_port: int = Field(default=11112, gt=0, lt=65536)
    """Where C-MOVE sends to: the PACS must know our AE title with this machine's address and this port."""
    retrieve: Literal["move", "get"] = "move"
    senders: tuple[str, ...] = ()
    """Further addresses that the PACS sends from; `host` itself is always answered, all others never."""
    connections: int = Field(default=2, gt=0, le=16)
    timeout_s: float = Field(default=30.0, gt=0)
    tls: Tls | None = None


class DicomWebServer(BaseModel):
    """A PACS that speaks DICOMweb: QIDO-RS, then WADO-RS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dicomweb"]
    url: str = Field(pattern=r"^https?://")
    user: str | None = None
    password_variable: str | None = None
    """Name of the environment variable with the password of `user`."""
    token_variable: str | None = None
    """Name of the environment variable with a bearer token."""
    connections: int = Field(default=4, gt=0, le=16)
    timeout_s: float = Field(default=30.0, gt=0)
    tls: Tls | None = None


PacsServer: TypeAlias = Annotated[DicomServer | DicomWebServer, Field(discriminator="kind")]
