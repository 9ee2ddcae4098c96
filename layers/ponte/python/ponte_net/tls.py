"""TLS by BCP 195 (PS3.15 B.12, RFC 9325): 1.2 or newer, forward secrecy, authenticated encryption."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ponte.errors import InvalidRequest

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!PSK"  # of TLS 1.2; those of 1.3 all fit


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Certificates as PEM files. `ca_file` says whom we trust, None for the system's store.

    `server_name` is the name to be found in a server's certificate where it is not the host we connect to.
    `require_client` makes a server of ours ask for a certificate of `ca_file`, and refuse a client without.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    require_client: bool = False
    key_password: str = field(default="", repr=False)


def client_context(options: TlsOptions) -> ssl.SSLContext:
    """Chain and name are checked, always. Raises `InvalidRequest` for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if options.ca_file is None:
        context.load_default_certs()
    return _prepared(context, options)


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Likewise for a listener, which must have a certificate."""
    if options.certificate_file is None:
        raise InvalidRequest("A TLS listener needs a certificate")
    if options.require_client and options.ca_file is None:
        raise InvalidRequest("To ask clients for certificates, a TLS listener needs a CA file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED if options.require_client else ssl.CERT_NONE
    context.options |= ssl.OP_NO_RENEGOTIATION
    return _prepared(context, options)


def _prepared(context: ssl.SSLContext, options: TlsOptions) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    try:
        if options.ca_file is not None:
            context.load_verify_locations(options.ca_file)
        if options.certificate_file is not None:
            context.load_cert_chain(
                options.certificate_file, options.key_file, password=options.key_password or _no_password
            )
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise InvalidRequest(f"A certificate or key cannot be used: {type(error).__name__}") from error
    return context


def _no_password() -> str:
    """Nobody is asked on a terminal that a service does not have."""
    raise ValueError
