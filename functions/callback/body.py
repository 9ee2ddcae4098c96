"""The callback's body: JSON whose PDF is base64, made while it is sent, so that its size costs no memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from ponte.errors import TransientError
from ponte_aws.jobs import Job, Pdf
from ponte_aws.links import Link

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


class DocumentUnusable(TransientError):
    """The stored PDF cannot be read, or is not the one that its job describes. No receiver's fault."""


def link_fields(job: Job, pdf: Pdf, link: Link) -> dict[str, Any]:
    """What stands in place of the PDF where the caller asked for a link (`"delivery": "link"`)."""
    return callback_fields(job) | {
        "pdf_url": link.url,
        "pdf_sha256": pdf.sha256,
        "pdf_bytes": pdf.size_bytes,
        "expires_at": link.expires_at,
    }


@dataclass(frozen=True, slots=True)
class PdfBody:
    """A body with the PDF in `ImagensPDF`, read from `open_pdf()` in chunks, as often as it is iterated.

    The end of the body is only given when the whole document was the one that the job describes: a receiver
    that sees the closing brace has the right PDF. Raises `DocumentUnusable` otherwise.
    """

    fields: dict[str, Any]
    pdf: Pdf
    open_pdf: Callable[[], BinaryIO]

    @property
    def size_bytes(self) -> int:
        head, tail = self._frame()
        return len(head) + 4 * ((self.pdf.size_bytes + 2) // 3) + len(tail)

    def __iter__(self) -> Iterator[bytes]:
        head, tail = self._frame()
        yield head
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
            yield base64.b64encode(chunk)
        if digest.hexdigest() != self.pdf.sha256:
            raise DocumentUnusable("the stored PDF is not the one that its job describes")
        yield tail

    def _chunks(self) -> Iterator[bytes]:
        """The document, every chunk but the last of `CHUNK_BYTES`."""
        left = self.pdf.size_bytes
        try:
            with self.open_pdf() as stream:
                while left:
                    chunk = _read_exactly(stream, min(CHUNK_BYTES, left))
                    left -= len(chunk)
                    yield chunk
                _expect_end(stream)
        except (BotoCoreError, ClientError, EOFError, OSError) as error:
            raise DocumentUnusable(f"the stored PDF cannot be read ({type(error).__name__})") from error

    def _frame(self) -> tuple[bytes, bytes]:
        """What stands before and behind the base64."""
        text = json.dumps({**self.fields, "ImagensPDF": "\x00"}, ensure_ascii=False)
        head, _, tail = text.partition(json.dumps("\x00"))
        return f'{head}"'.encode(), f'"{tail}'.encode()


def _expect_end(stream: BinaryIO) -> None:
    """Raises EOFError when the document goes on."""
    if stream.read(1):
        raise EOFError("the stored PDF is longer than its job row says")


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
