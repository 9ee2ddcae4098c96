"""What the API takes and answers, with the names that existing clients send (REQUIREMENTS R1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ponte.uid import MAX_LENGTH, is_valid_uid
from ponte_aws.jobs import RenderRequest
from ponte_aws.secrets import MAX_SECRET_BYTES

MAX_CODE_LENGTH = 256


def _uid(value: str) -> str:
    if not is_valid_uid(value):
        raise ValueError(f"must be a DICOM UID: digits and dots, at most {MAX_LENGTH} characters")
    return value


def _header_value(value: str | None) -> str | None:
    """A value that can travel as an HTTP header, and that KMS can encrypt."""
    if value is None:
        return None
    if not all(" " <= char <= "~" or "\xa0" <= char <= "\xff" for char in value):
        raise ValueError("must be printable Latin-1 text without line breaks")
    if len(value.encode()) > MAX_SECRET_BYTES:
        raise ValueError(f"must be at most {MAX_SECRET_BYTES} bytes")
    return value


Uid = Annotated[str, AfterValidator(_uid)]
Code = Annotated[str, Field(max_length=MAX_CODE_LENGTH)] | int | None
HeaderValue = Annotated[str | None, AfterValidator(_header_value)]
ExamId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class SyncRequest(BaseModel):
    """Body of `POST /render/sync`. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    examID: ExamId  # noqa: N815  the client's name
    pacs_studies_iuid: Uid
    anonymize: bool | None = False
    cover_page: bool | None = False
    max_workers: int | None = None


class AsyncRequest(BaseModel):
    """Body of `POST /render`. Unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra={
            "example": {
                "examID": 12345,
                "pacs_studies_iuid": "1.2.840.113619.2.55.3.604688119",
                "CodAutorizacao": "A-1",
                "CodFaturamento": "F-1",
                "CodProcedimento": "P-1",
                "UrlCallback": "https://client.example/callback",
            }
        },
    )

    examID: ExamId  # noqa: N815  the client's name
    pacs_studies_iuid: Uid
    UrlCallback: Annotated[str, Field(min_length=1, max_length=2048)]
    CodAutorizacao: Code = None
    CodFaturamento: Code = None
    CodProcedimento: Code = None
    Authorization: HeaderValue = None
    IntegrationToken: HeaderValue = None
    anonymize: bool | None = False
    cover_page: bool | None = True
    max_workers: int | None = None


class Accepted(BaseModel):
    """Answer of `POST /render`: the job is durable."""

    status: Literal["accepted"] = "accepted"
    message: str = "Request accepted for processing"
    examID: int  # noqa: N815
    pacs_studies_iuid: str
    callback_url: str
    job_id: str


class Health(BaseModel):
    """Answer of `GET /health`."""

    status: Literal["ok"] = "ok"
    dicom_server: Literal["configured", "not_configured"]
    ip_validation: Literal["enabled", "disabled"]
    allowed_ips_count: int


class JobAnswer(BaseModel):
    """Answer of `GET /jobs/{job_id}`."""

    job_id: str
    state: str
    examID: int  # noqa: N815
    pacs_studies_iuid: str
    created_at: str
    updated_at: str
    progress: dict[str, int]
    partial: bool
    not_shown: list[dict[str, Any]]
    pages: int | None
    error: dict[str, str] | None
    callback: dict[str, Any] | None
    links: dict[str, str]


class Problem(BaseModel):
    """Every error but a body that does not fit: `detail` and `code` as they always were, RFC 9457 beside."""

    detail: str
    code: str
    job_id: str | None = None
    type: str = "about:blank"
    title: str
    status: int


class UnfitField(BaseModel):
    """One thing that does not fit in a body."""

    loc: list[str | int]
    msg: str
    type: str


class Unfit(BaseModel):
    """422: what does not fit, as clients of the old system read it."""

    detail: list[UnfitField]


def to_request(body: AsyncRequest | SyncRequest, *, default_workers: int, max_workers: int) -> RenderRequest:
    """What a body asks for, with the defaults of its endpoint and the workers clamped."""
    is_async = isinstance(body, AsyncRequest)
    workers = default_workers if body.max_workers is None else body.max_workers
    return RenderRequest(
        exam_id=body.examID,
        study_instance_uid=body.pacs_studies_iuid,
        anonymize=bool(body.anonymize),
        cover_page=is_async if body.cover_page is None else body.cover_page,
        max_workers=min(max(workers, 1), max_workers),
        url_callback=body.UrlCallback if isinstance(body, AsyncRequest) else None,
        cod_autorizacao=body.CodAutorizacao if isinstance(body, AsyncRequest) else None,
        cod_faturamento=body.CodFaturamento if isinstance(body, AsyncRequest) else None,
        cod_procedimento=body.CodProcedimento if isinstance(body, AsyncRequest) else None,
    )
