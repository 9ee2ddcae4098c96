"""What a caller may ask of a rendering."""

from __future__ import annotations

from dataclasses import dataclass

from render.texts import Language


@dataclass(frozen=True, slots=True)
class RequestCodes:
    """The codes of the request that asked for the PDF, printed on the cover. Empty where there are none."""

    exam_id: str = ""
    cod_autorizacao: str = ""
    cod_procedimento: str = ""


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a study is rendered.

    `max_workers` is the most threads that decode and compress; there are never more than processors.
    """

    anonymize: bool = False
    cover_page: bool = True
    lossless: bool = False
    language: Language = "pt-BR"
    max_workers: int = 4
    codes: RequestCodes = RequestCodes()
