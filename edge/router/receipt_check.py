"""Whether a receipt is the one that a router made: the signed JSON, or the PDF, which has it attached.

A file is genuine as a whole or not at all: the JSON must be its own canonical bytes, and of a PDF the
signature covers each byte, so that its pages cannot say something else than its attachment.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Final

from ponte.errors import PermanentError
from router.receipt import ALGORITHM, KIND, VERSION, Receipt, canonical
from router.receipt_keys import SIGNATURE_BYTES, PublicKey, SigningKey

MOST_BYTES: Final = 256 << 20
MARK: Final = b"PonteSignature:"
"""Of the comment in a PDF that has the signature over all its other bytes."""
MEDIA_TYPE: Final = "application/json"
_ENCODED: Final = 4 * -(-SIGNATURE_BYTES // 3)
_BLANK: Final = b"0" * _ENCODED
_PDF: Final = b"%PDF-"
_LONGEST_START: Final = 64
_ATTACHED: Final = re.compile(
    rb"/Type /EmbeddedFile /Subtype /application#2Fjson [^\n]{0,200}/Length (\d{1,9}) >>\nstream\n"
)


class NotGenuine(PermanentError):
    """It is not what a router signed with this key."""

    default_code = "NOT_GENUINE"


def verify(content: bytes, key: PublicKey) -> Receipt:
    """The receipt, where it is genuine. Raises `NotGenuine`, which says why."""
    if len(content) > MOST_BYTES:
        raise NotGenuine(f"The file has {len(content)} bytes; a receipt has {MOST_BYTES} at most")
    if content.startswith(_PDF):
        return _verify_json(_attached_to(content, key), key)
    return _verify_json(content.removesuffix(b"\n"), key)


def blank_comment() -> bytes:
    """The comment that a PDF is to be made with, for `sealed`."""
    return MARK + _BLANK


def sealed(pdf: bytes, key: SigningKey) -> bytes:
    """The PDF with the signature in its comment."""
    at = _signature_at(pdf)
    return pdf[:at] + base64.b64encode(key.sign(pdf)) + pdf[at + _ENCODED :]


def _verify_json(content: bytes, key: PublicKey) -> Receipt:
    value = _read(content)
    receipt, signature = value.get("receipt"), value.get("signature")
    if not isinstance(receipt, dict) or not isinstance(signature, dict) or receipt.get("type") != KIND:
        raise NotGenuine("The file is no custody receipt of Ponte", code="NO_RECEIPT")
    if receipt.get("version") != VERSION or signature.get("algorithm") != ALGORITHM:
        raise NotGenuine(
            f"The receipt is of a version that this program does not know; expected {VERSION}: update it",
            code="UNKNOWN_VERSION",
        )
    if canonical(value) != content:
        raise NotGenuine("The file was changed, or written anew by another program, after it was signed")
    made_by = receipt.get("made_by")
    named = made_by.get("key_id") if isinstance(made_by, dict) else None
    if signature.get("key_id") != key.id or _decoded(signature.get("public_key")) != key.raw:
        raise NotGenuine(
            f"The receipt is signed with key {signature.get('key_id')!s:.32}; the key given is {key.id}",
            code="OTHER_KEY",
        )
    if named != key.id or not key.verifies(_decoded(signature.get("value")), canonical(receipt)):
        raise NotGenuine("The signature does not fit: the receipt was changed after it was signed")
    return receipt


def _read(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("ascii"), parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise NotGenuine("The file is no JSON of a receipt: cut short, or something else") from error
    if not isinstance(value, dict):
        raise NotGenuine("The file is no custody receipt of Ponte", code="NO_RECEIPT")
    return value


_no_float: Callable[[str], Any] = int  # raises ValueError: a receipt has whole numbers alone


def _decoded(text: object) -> bytes:
    """The bytes of base64 as we write it; nothing where the same bytes could be written otherwise."""
    try:
        found = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""
    return found if base64.b64encode(found).decode("ascii") == text else b""


def _attached_to(pdf: bytes, key: PublicKey) -> bytes:
    """The signed JSON within a PDF whose every byte is as it was made."""
    at = _signature_at(pdf)
    signature = _decoded(pdf[at : at + _ENCODED].decode("ascii", "replace"))
    if not key.verifies(signature, pdf[:at] + _BLANK + pdf[at + _ENCODED :]):
        raise NotGenuine(
            f"The PDF was changed or cut after it was signed, or signed with another key than {key.id}"
        )
    found = _ATTACHED.search(pdf)
    if found is None:
        raise NotGenuine("The PDF has no receipt attached", code="NO_RECEIPT")
    return pdf[found.end() : found.end() + int(found[1])]


def _signature_at(pdf: bytes) -> int:
    """Where the signature begins. Raises `NotGenuine`."""
    at = pdf.find(MARK, 0, _LONGEST_START)
    if at < 0:
        raise NotGenuine(
            "The PDF is no receipt of Ponte, or was saved anew by another program", code="NO_RECEIPT"
        )
    return at + len(MARK)
