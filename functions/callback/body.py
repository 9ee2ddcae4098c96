"""The callback's body: JSON whose PDF is base64, made while it is sent, so that its size costs no memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ponte_aws.jobs import Job

CHUNK_BYTES = 3 * 256 * 1024  # a multiple of 3: each chunk's base64 ends without padding


def callback_fields(job: Job) -> dict[str, Any]:
    """The keys that receivers know, in their order; a failed job has `status` and `error` besides.

    `ImagensPDF` is null here: it is put in while sending.
    """
    request = job.request
    fields: dict[str, Any] = {
        "examID": request.exam_id,
        "studyIUID": request.study_instance_uid,
        "ImagensPDF": None,
        "CodAutorizacao": request.cod_autorizacao,
        "CodFaturamento": None if request.cod_faturamento is None else f"{request.cod_faturamento}-i",
        "CodProcedimento": request.cod_procedimento,
    }
    if job.error is not None:
        fields["status"] = "failed"
        fields["error"] = {"code": job.error.code, "detail": job.error.detail}
    return fields


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A body that is all there."""

    data: bytes

    @classmethod
    def of(cls, fields: dict[str, Any]) -> JsonBody:
        return cls(json.dumps(fields, ensure_ascii=False).encode())

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class PdfBody:
    """A body with a PDF of known size in `ImagensPDF`, read from `open_pdf()` in chunks."""

    fields: dict[str, Any]
    pdf_bytes: int
    open_pdf: Callable[[], BinaryIO]

    @property
    def size_bytes(self) -> int:
        head, tail = self._frame()
        return len(head) + 4 * ((self.pdf_bytes + 2) // 3) + len(tail)

    def __iter__(self) -> Iterator[bytes]:
        head, tail = self._frame()
        yield head
        left = self.pdf_bytes
        with self.open_pdf() as stream:
            while left:
                chunk = _read_exactly(stream, min(CHUNK_BYTES, left))
                left -= len(chunk)
                yield base64.b64encode(chunk)
        yield tail

    def _frame(self) -> tuple[bytes, bytes]:
        """What stands before and behind the base64."""
        text = json.dumps({**self.fields, "ImagensPDF": "\x00"}, ensure_ascii=False)
        head, _, tail = text.partition(json.dumps("\x00"))
        return f'{head}"'.encode(), f'"{tail}'.encode()


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes. Raises EOFError when the document is shorter than its row says."""
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise EOFError("the stored PDF is shorter than its job row says")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
