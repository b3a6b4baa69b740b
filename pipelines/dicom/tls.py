"""TLS as the settings say it, passed through to OpenSSL."""

import ssl

from pipelines.pacs import Tls
from pipelines.records import UnusableInputError


def client_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return what connects to a PACS over TLS, or None without TLS.

    Raises
    ------
    UnusableInputError
        When a certificate or key cannot be read.
    """
    if tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(error) from None
    context.check_hostname = tls.check_hostname
    return _with_own(context, tls)


def server_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return what accepts connections of a PACS over TLS, or None without TLS or without a certificate of ours."""
    if tls is None or tls.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if tls.ca is not None:
            context.load_verify_locations(cafile=tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(error) from None
    return _with_own(context, tls)


def _with_own(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    if tls.certificate is None:
        return context
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(error) from None
    return context


def _unreadable(error: Exception) -> UnusableInputError:
    return UnusableInputError(
        expected="certificates and a key in PEM files that can be read",
        found=f"one that cannot be used ({type(error).__name__})",
        remedy="correct `ca`, `certificate` and `key` under [pacs.NAME.tls]",
    )
