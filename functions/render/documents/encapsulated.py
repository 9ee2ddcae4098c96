"""The pages of an encapsulated PDF, merged in as they are (PS3.3 A.45.1).

Another process takes the PDF apart, under limits of memory and time; nothing in it is ever carried out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.errors import CannotDecode, LimitExceeded, MissingAttribute, PonteError
from ponte.quiet import BROKEN_INPUT, quiet
from render.documents.codes import class_name
from render.documents.words import words_of
from render.pdf import Canvas, PdfWriter
from render.sheet import Document, Sheet
from render.texts import Texts

MOST_BYTES: Final = 128 << 20
SECONDS: Final = 60
BASE_MEMORY: Final = 1 << 30
MEMORY_A_BYTE: Final = 6

_SCRIPT: Final = Path(__file__).with_name("foreign.py")
_PREFIX: Final = Struct(">LQ")
_NAME: Final = "Page"
_LIMITS: Final = frozenset({"MEMORY", "TIME", "INFLATE_LIMIT", "PIXEL_BUDGET", "TOO_DEEP"})


def draw(dataset: Dataset, writer: PdfWriter, texts: Texts, *, anonymize: bool) -> Document:
    """Each page as a sheet of its own size, without bands; with `anonymize` none.

    Raises `MissingAttribute`, `CannotDecode` for what is encrypted, damaged or has layers that are off,
    `LimitExceeded` (MEMORY, TIME, INFLATE_LIMIT, PIXEL_BUDGET, TOO_DEEP).
    """
    words = words_of(texts)
    with quiet():
        name = class_name(attributes.text(dataset, "SOPClassUID"), words)
        if anonymize:
            return Document(name, left_out=words.pdf_left_out)
        title = attributes.text(dataset, "DocumentTitle")
        data = _document(dataset)
    answer, streams = _taken_apart(data)
    numbers = writer.add_linked(_objects(answer, streams))
    sheets = [_sheet(page, numbers) for page in answer["pages"]]
    lost = int(answer["annotations"])
    left_out = words.annotations_left_out.format(lost) if lost else ""
    return Document(f"{name} · {title}" if title else name, sheets, left_out)


def _document(dataset: Dataset) -> bytes:
    """The bytes of the PDF, without the padding of the element (PS3.3 C.24.2)."""
    described = attributes.describe("EncapsulatedDocument")
    try:
        value = dataset.get_item("EncapsulatedDocument").value
    except BROKEN_INPUT:
        value = None
    if not isinstance(value, bytes) or not value:
        raise MissingAttribute(f"{described} is absent")
    if len(value) > MOST_BYTES:
        raise LimitExceeded(f"{described} has {len(value)} bytes; the limit is {MOST_BYTES}")
    length = attributes.to_int(attributes.first(dataset, "EncapsulatedDocumentLength"))
    return value[:length] if length and length < len(value) else value


def _sheet(page: dict[str, Any], numbers: Sequence[int]) -> Sheet:
    width, height = page["size"]
    canvas = Canvas()
    canvas.image(_NAME, 0, 0, 1, 1)  # its matrix has it in points already
    return Sheet(canvas, (width, height), [(_NAME, numbers[page["form"]])], framed=False)


def _objects(answer: dict[str, Any], streams: bytes) -> list[tuple[list[bytes | int], bytes | None]]:
    """What `PdfWriter.add_linked` writes."""
    objects = list[tuple[list[bytes | int], bytes | None]]()
    for pieces, where in zip(answer["objects"], answer["streams"], strict=True):
        body = [piece if isinstance(piece, int) else piece.encode("latin-1") for piece in pieces]
        objects.append((body, None if where is None else streams[where[0] : where[0] + where[1]]))
    return objects


def _taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer of the other process, and its streams."""
    memory = BASE_MEMORY + MEMORY_A_BYTE * len(data)
    command = [sys.executable, "-P", str(_SCRIPT), str(memory), str(SECONDS)]
    try:
        done = subprocess.run(
            command,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refused("TIME", "it takes longer than the limit allows") from None
    if done.returncode:
        late = done.returncode == -signal.SIGXCPU
        raise _refused("TIME", "it takes longer than the limit allows") if late else _ended(done.returncode)
    words, streams = _PREFIX.unpack_from(done.stdout)
    end = _PREFIX.size + words
    if len(done.stdout) != end + streams:
        raise _refused("CANNOT_DECODE", "it is damaged")
    answer: dict[str, Any] = json.loads(done.stdout[_PREFIX.size : end])
    if "error" in answer:
        raise _refused(str(answer["error"]), str(answer["why"]))
    return answer, done.stdout[end:]


def _ended(status: int) -> PonteError:
    if status in (-signal.SIGKILL, -signal.SIGABRT):
        return _refused("MEMORY", "it takes more memory than the limit allows")
    return _refused("CANNOT_DECODE", "it is damaged")


def _refused(code: str, why: str) -> PonteError:
    kind = LimitExceeded if code in _LIMITS else CannotDecode
    return kind(f"{attributes.describe('EncapsulatedDocument')} cannot be merged: {why}", code=code)


def _environment() -> dict[str, str]:
    """No secrets go with it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
