"""TLS of a peer: version and cipher, whether the chain is verified or why not, and the days that are left."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from doctor.reach import CONNECT_S
from doctor.steps import Found
from doctor.words import Phrase

SOON_DAYS: Final = 30
_MODERN: Final = ("TLSv1.2", "TLSv1.3")
_HANDSHAKE_S: Final = 8.0
_REASONS: Final = {
    9: "not_yet", 10: "expired", 18: "self_signed", 19: "unknown_authority", 20: "unknown_authority",
    21: "unknown_authority", 23: "revoked", 62: "wrong_name", 64: "wrong_name",
}  # fmt: skip
"""By OpenSSL's number of what is wrong with a chain."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer showed, verified or not."""

    version: str
    cipher: str
    certificate: bytes | None


def look_at_tls(host: str, address: str, port: int, context: ssl.SSLContext) -> Found:
    """A handshake as a transfer makes it; where that fails, another that verifies nothing, to see why."""
    try:
        shown = _handshake(host, address, port, context)
    except ssl.SSLCertVerificationError as error:
        return _not_trusted(error, host, address, port)
    except ssl.SSLError as error:
        return _failed(error)
    except TimeoutError:
        return Found("failed", (Phrase("tls.silent"),), (Phrase("tls.plain_advice"),))
    except OSError:
        return Found("failed", (Phrase("tls.broken"),), (Phrase("tls.plain_advice"),))
    said = [_profile(shown), Phrase("tls.verified")]
    if shown.certificate is None:
        return Found("ok", tuple(said))
    days = _days_left(shown.certificate)
    said.append(_certificate(shown.certificate))
    if days < SOON_DAYS:
        return Found("warning", tuple(said), (Phrase("tls.soon_advice", {"days": str(days)}),))
    return Found("ok", tuple(said))


def speaks_tls(address: str, port: int) -> bool:
    """True where the port answers a handshake, whoever it is."""
    try:
        _handshake("", address, port, _unverified())
    except (OSError, ValueError):
        return False
    return True


def _handshake(host: str, address: str, port: int, context: ssl.SSLContext) -> Shown:
    with socket.create_connection((address, port), timeout=CONNECT_S) as sock:
        sock.settimeout(_HANDSHAKE_S)
        with context.wrap_socket(sock, server_hostname=host or None) as tls:
            cipher = tls.cipher()
            return Shown(tls.version() or "", cipher[0] if cipher else "", tls.getpeercert(binary_form=True))


def _unverified() -> ssl.SSLContext:
    """To look at a certificate that is not trusted: nothing is ever sent on such a connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _not_trusted(error: ssl.SSLCertVerificationError, host: str, address: str, port: int) -> Found:
    why = _REASONS.get(error.verify_code, "not_trusted")
    values = {"host": host, "code": str(error.verify_code)}
    said = [Phrase(f"tls.{why}", values)]
    try:
        shown = _handshake(host, address, port, _unverified())
    except (OSError, ValueError):
        shown = Shown("", "", None)
    if shown.certificate is not None:
        said += [_certificate(shown.certificate), _names(shown.certificate)]
    return Found("failed", tuple(said), (Phrase(f"tls.{why}_advice", values),))


def _failed(error: ssl.SSLError) -> Found:
    reason = (error.reason or type(error).__name__).replace("_", " ").lower()
    is_plain = any(word in reason for word in ("wrong version number", "record layer", "eof", "http request"))
    advice = "tls.plain_advice" if is_plain else "tls.failed_advice"
    return Found("failed", (Phrase("tls.failed", {"reason": reason}),), (Phrase(advice),))


def _profile(shown: Shown) -> Phrase:
    key = "tls.modern" if shown.version in _MODERN else "tls.old"
    return Phrase(key, {"version": shown.version, "cipher": shown.cipher})


def _certificate(der: bytes) -> Phrase:
    certificate = x509.load_der_x509_certificate(der)
    days = _days_left(der)
    values = {
        "subject": _common_name(certificate.subject),
        "issuer": _common_name(certificate.issuer),
        "until": certificate.not_valid_after_utc.strftime("%Y-%m-%d"),
        "days": str(abs(days)),
    }
    return Phrase("tls.certificate" if days >= 0 else "tls.certificate_over", values)


def _names(der: bytes) -> Phrase:
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Phrase("tls.no_names")
    found = [str(one.value) for one in names if isinstance(one, x509.DNSName | x509.IPAddress)]
    return Phrase("tls.names", {"names": ", ".join(found[:8])})


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _days_left(der: bytes) -> int:
    certificate = x509.load_der_x509_certificate(der)
    return (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days
