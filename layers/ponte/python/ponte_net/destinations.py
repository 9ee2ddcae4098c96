"""What the word DESTINATION means: a DICOM node, a DICOMweb server or an Orthanc, in one line of text.

`dicom://[CALLING@]AET@host[:port][?calling=&max_pdu=&local_port=&batch=&tls=&ca=&cert=&key=]`
`http(s)://[user@]host[:port]/dicom-web`
`orthanc+http(s)://[user@]host[:port]`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from ponte.destination import Destination
    from ponte.dicomweb import Credentials

PASSWORD: Final = "PONTE_DESTINATION_PASSWORD"  # noqa: S105  (the name of the variable)
PASSWORD_FILE: Final = "PONTE_DESTINATION_PASSWORD_FILE"  # noqa: S105
_EXPECTED = "dicom://AET@host:port, https://host/dicom-web or orthanc+http://host:8042"
_DICOM_PORT = 104
_MOST_PORT = 65535
_AE_TITLE_CHARACTERS = 16
_LEAST_PDU, _MOST_PDU = 4096, 1 << 20
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class DicomNode:
    """A C-STORE provider, and how it is called. `tls` files are those of PEM."""

    host: str
    port: int = _DICOM_PORT
    ae_title: str = "ANY-SCP"
    calling_ae_title: str = "PONTE"
    max_pdu: int = 131072
    local_port: int | None = None
    batch: int = 128
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = field(default=None, repr=False)


def open_destination(
    text: str, *, credentials: Credentials | None = None, environ: Mapping[str, str] = os.environ
) -> Destination:
    """The destination that the text names. Raises `InvalidRequest`, which never quotes a password.

    The password of the user in an address comes from `PONTE_DESTINATION_PASSWORD`, or from the file that
    `PONTE_DESTINATION_PASSWORD_FILE` names; one in the address counts, and is not shown. `credentials` are
    for the others.
    """
    parts = _split(text)
    if parts.scheme == "dicom":
        if credentials is not None:
            raise InvalidRequest("A DICOM node takes no credentials; they are for http(s)")
        return open_node(read_node(text))
    kind, _, scheme = parts.scheme.rpartition("+")
    if kind not in ("", "orthanc") or scheme not in ("http", "https"):
        raise InvalidRequest(f"{shown(text)} is no destination; expected {_EXPECTED}")
    if parts.query or parts.fragment:
        raise InvalidRequest(f"{shown(text)}: nothing may follow the path of the address")
    address = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    credentials = _credentials(parts, credentials, environ)
    if kind:
        from ponte.orthanc import OrthancDestination

        return OrthancDestination(address, credentials=credentials)
    from ponte.stow import StowDestination

    return StowDestination(address, credentials=credentials)


def shown(text: str) -> str:
    """The address for a log or an error: without password, and without what follows the path."""
    try:
        parts = urlsplit(text)
        user, at, host = parts.netloc.rpartition("@")
    except ValueError:
        return "The address"
    if parts.scheme == "dicom":
        return f"dicom://{user}{at}{host}" if ":" not in user else f"dicom://{host}"
    name = user.partition(":")[0]
    return f"{parts.scheme}://{name}{at}{host}{parts.path}" if host else "The address"


def read_node(text: str) -> DicomNode:
    """The node that a dicom:// address names. Raises `InvalidRequest` by the name of what is wrong."""
    parts = _split(text)
    titles, _, _ = parts.netloc.rpartition("@")
    calling, _, called = titles.rpartition("@")
    if not called or ":" in titles or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise InvalidRequest(f"{shown(text)} is no DICOM node; expected dicom://AET@host:port")
    options = _options(parts)
    if calling and "calling" in options:
        raise InvalidRequest(f"{shown(text)}: the calling AE title is given twice")
    return DicomNode(
        host=parts.hostname,
        port=_port(parts) or _DICOM_PORT,
        ae_title=ae_title(unquote(called), "called AE title"),
        calling_ae_title=ae_title(unquote(calling) or options.get("calling", "PONTE"), "calling AE title"),
        max_pdu=_number(options, "max_pdu", 131072, _LEAST_PDU, _MOST_PDU),
        local_port=_number(options, "local_port", 0, 0, _MOST_PORT) or None,
        batch=_number(options, "batch", 128, 1, 10_000),
        tls=_flag(options, "tls"),
        ca_file=_path(options, "ca"),
        cert_file=_path(options, "cert"),
        key_file=_path(options, "key"),
    )


def ae_title(text: str, name: str) -> str:
    """An AE title (PS3.5 6.2, VR AE) without the spaces around it. Raises `InvalidRequest`."""
    title = text.strip(" ")
    right = title.isascii() and title.isprintable() and "\\" not in title
    if not right or not 1 <= len(title) <= _AE_TITLE_CHARACTERS:
        raise InvalidRequest(
            f"The {name} is not 1 to {_AE_TITLE_CHARACTERS} ASCII characters without a backslash"
        )
    return title


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise InvalidRequest(f"The destination is no address; expected {_EXPECTED}") from error
    if not parts.hostname or any(not character.isprintable() for character in text):
        raise InvalidRequest(f"The destination has no host; expected {_EXPECTED}")
    return parts


def _port(parts: SplitResult) -> int | None:
    if parts.port == 0:
        raise InvalidRequest("The destination's port is 0; expected 1 to 65535")
    return parts.port


def _options(parts: SplitResult) -> dict[str, str]:
    known = {"calling", "max_pdu", "local_port", "batch", "tls", "ca", "cert", "key"}
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise InvalidRequest("The destination has an option twice")
    if unknown := sorted(options.keys() - known):
        raise InvalidRequest(
            f"The destination has unknown options: {', '.join(unknown)}; expected {', '.join(sorted(known))}"
        )
    return options


def _number(options: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:9]) <= most:
        raise InvalidRequest(f"The destination's {name} is not a number from {least} to {most}")
    return int(text)


def _flag(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "0").lower()
    if text not in _YES | _NO:
        raise InvalidRequest(f"The destination's {name} is neither 1 nor 0")
    return text in _YES


def _path(options: Mapping[str, str], name: str) -> Path | None:
    return Path(options[name]) if options.get(name) else None


def _credentials(
    parts: SplitResult, credentials: Credentials | None, environ: Mapping[str, str]
) -> Credentials | None:
    from ponte.dicomweb import Credentials

    if parts.username is None:
        return credentials
    if credentials is not None:
        raise InvalidRequest("The destination has a user in its address and credentials beside it: give one")
    password = unquote(parts.password) if parts.password is not None else _password(environ)
    return Credentials.from_json({"type": "basic", "username": unquote(parts.username), "password": password})


def _password(environ: Mapping[str, str]) -> str:
    """From the environment, or the file that it names. Raises `InvalidRequest`."""
    if PASSWORD in environ:
        return environ[PASSWORD]
    if PASSWORD_FILE not in environ:
        raise InvalidRequest(f"The destination has a user and no password: set {PASSWORD} or {PASSWORD_FILE}")
    try:
        return Path(environ[PASSWORD_FILE]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The file that {PASSWORD_FILE} names cannot be read") from error


def open_node(node: DicomNode) -> Destination:
    """The C-STORE user for the node. Raises `InvalidRequest`."""
    from ponte_net.scu import Peer, Scu, ScuLimits, TlsOptions

    tls = TlsOptions(node.ca_file, node.cert_file, node.key_file) if node.tls else None
    return Scu(
        Peer(node.host, node.port, node.ae_title),
        calling_ae_title=node.calling_ae_title,
        max_pdu=node.max_pdu,
        local_port=node.local_port,
        tls_options=tls,
        limits=ScuLimits(batch_instances=node.batch),
    )
