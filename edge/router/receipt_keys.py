"""The key that this box signs receipts with: Ed25519 (RFC 8032), made once, kept beside the rows.

`receipt.key` is its owner's alone; `receipt.pub` is for whoever is to verify. A key that is lost is not made
anew in silence: receipts of then and of now would look like those of two boxes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ponte.errors import InvalidRequest
from router.spool import FOLDER_NAME, sync_folder

KEY_NAME: Final = "receipt.key"
PUBLIC_NAME: Final = "receipt.pub"
SIGNATURE_BYTES: Final = 64
_MOST_BYTES: Final = 4096
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a signature is verified by. `id` is the beginning of the SHA-256 over its 32 bytes."""

    raw: bytes
    _key: Ed25519PublicKey = field(repr=False, compare=False)

    @classmethod
    def from_raw(cls, raw: bytes) -> PublicKey:
        """Raises `ValueError`."""
        return cls(raw, Ed25519PublicKey.from_public_bytes(raw))

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:32]

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """True where exactly these bytes were signed with the key's other half."""
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret half."""

    _key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        public = self._key.public_key()
        return PublicKey(public.public_bytes_raw(), public)

    def sign(self, what: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(what)


def ensure_key(root: Path) -> SigningKey:
    """The key of this box, made where there is none yet. Raises `InvalidRequest` for one that cannot be used,
    `OSError` for a folder that cannot be written."""
    folder = root / FOLDER_NAME
    key = folder / KEY_NAME
    if not key.exists():
        if (folder / PUBLIC_NAME).exists():
            raise InvalidRequest(
                f"{FOLDER_NAME}/{KEY_NAME} is gone, and {PUBLIC_NAME} is there; expected both: bring it back"
                f" from the backup, or remove {PUBLIC_NAME} to begin with a new key",
                code="RECEIPT_KEY",
            )
        _make(folder)
        secret = Ed25519PrivateKey.generate()
        _write_once(key, secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    found = _read_key(key)
    public = folder / PUBLIC_NAME
    if not public.exists():
        _write_once(public, _pem(found), 0o644)
    elif read_public_key(public).raw != found.public.raw:
        raise InvalidRequest(
            f"{PUBLIC_NAME} is not that of {KEY_NAME}; expected its other half: remove {PUBLIC_NAME} to"
            " have it written again",
            code="RECEIPT_KEY",
        )
    return found


def read_public_key(path: Path) -> PublicKey:
    """A PEM file as `receipt.pub` is one. Raises `InvalidRequest`."""
    try:
        found = load_pem_public_key(_read(path))
    except ValueError as error:
        raise InvalidRequest(f"{path.name} is no public key in PEM", code="RECEIPT_KEY") from error
    if not isinstance(found, Ed25519PublicKey):
        raise InvalidRequest(f"{path.name} is no Ed25519 key", code="RECEIPT_KEY")
    return PublicKey(found.public_bytes_raw(), found)


def _read_key(path: Path) -> SigningKey:
    if path.stat().st_mode & _OTHERS:
        raise InvalidRequest(
            f"{path.name} can be read by others than its owner; expected mode 0600", code="RECEIPT_KEY"
        )
    try:
        found = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{path.name} is no private key in PEM", code="RECEIPT_KEY") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise InvalidRequest(f"{path.name} is no Ed25519 key", code="RECEIPT_KEY")
    return SigningKey(found)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}", code="RECEIPT_KEY") from error


def _pem(key: SigningKey) -> bytes:
    public = Ed25519PublicKey.from_public_bytes(key.public.raw)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _make(folder: Path) -> None:
    """For the user who has the folder above it, whoever makes it."""
    if folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)


def _write_once(path: Path, content: bytes, mode: int) -> None:
    """Whole, durably, and never over one that somebody else made meanwhile."""
    partial = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if os.geteuid() == 0:  # the router may run as another user
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)
