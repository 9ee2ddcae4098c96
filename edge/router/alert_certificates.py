"""Until when certificates are valid: those in our files, and those that destinations show."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from router.config import ListenerConfig
from router.destinations import DicomNode, Inbox, Target

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1 << 20


class Certificates:
    """`look` asks for them all; `found` has what it got, and None for what could not be had."""

    def __init__(self, listeners: Sequence[ListenerConfig], targets: Callable[[], Sequence[Target]]) -> None:
        self._listeners = listeners
        self._targets = targets
        self.found: Mapping[str, float | None] = {subject: None for subject, _ in self._sources()}

    def look(self) -> bool:
        """Takes up to five seconds for each destination with TLS that does not answer; what is there already
        stays until then. Always False: it is done."""
        sources = dict(self._sources())
        self.found = {subject: self.found.get(subject) for subject in sources}
        for subject, ask in sources.items():
            self.found = {**self.found, subject: _asked(ask)}
        return False

    def _sources(self) -> Iterator[tuple[str, Callable[[], float]]]:
        for listener in self._listeners:
            if listener.tls is not None:
                file = listener.tls.certificate_file
                yield f"listener {listener.label}", lambda file=file: valid_until(_read(file))  # type: ignore[misc]
        for target in self._targets():
            if isinstance(target, DicomNode) and target.certificate_file is not None:
                file = target.certificate_file
                yield f"{target.name} (client)", lambda file=file: valid_until(_read(file))  # type: ignore[misc]
            if (place := _tls_place(target)) is not None:
                yield target.name, lambda place=place, target=target: _shown_by(place, target)  # type: ignore[misc]


def valid_until(data: bytes) -> float:
    """The first end of validity of the certificates in a PEM, or of the one in a DER, in seconds since the
    epoch. Raises `ValueError`."""
    from cryptography import x509

    if b"-----BEGIN" in data:
        certificates = x509.load_pem_x509_certificates(data)
    else:
        certificates = [x509.load_der_x509_certificate(data)]
    return min(one.not_valid_after_utc for one in certificates).timestamp()


def _asked(ask: Callable[[], float]) -> float | None:
    try:
        return ask()
    except (OSError, ValueError, ImportError) as error:
        log.info("certificate not seen", extra={"error": type(error).__name__})
        return None


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MOST_BYTES)


def _tls_place(target: Target) -> tuple[str, int] | None:
    """Where a destination shows its certificate; None where it has none, or one of AWS's own."""
    if isinstance(target, DicomNode):
        return (target.host, target.port) if target.tls else None
    url = target.endpoint_url if isinstance(target, Inbox) else target.url
    parts = urlsplit((url or "").replace("{study}", ""))
    return (parts.hostname, parts.port or 443) if parts.scheme == "https" and parts.hostname else None


def _shown_by(place: tuple[str, int], target: Target) -> float:
    """Whatever it shows is read, and not trusted: nothing is sent on this connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if isinstance(target, DicomNode) and target.certificate_file is not None:
        context.load_cert_chain(target.certificate_file, target.key_file)
    with (
        socket.create_connection(place, timeout=_TIMEOUT_S) as connection,
        context.wrap_socket(connection, server_hostname=place[0]) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    if shown is None:
        raise ValueError("no certificate")
    return valid_until(shown)
