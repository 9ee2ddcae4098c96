"""What the API takes and answers, with the names that existing clients send (REQUIREMENTS R1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    model_validator,
)

from ponte.errors import InvalidRequest
from ponte.uid import MAX_LENGTH, is_valid_uid
from ponte_aws.jobs import Job, RenderRequest, State
from ponte_aws.secrets import MAX_SECRET_BYTES
from render.options import Grid

MAX_CODE_LENGTH = 256
MAX_PDF_BYTES = 1 << 40


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


_UID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": r"^[0-9]+(\.[0-9]+)*$"}
_EXAM_ID_SCHEMA = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


def _no_bool(value: Any) -> Any:
    """JSON's true is no number, though Python's is."""
    if isinstance(value, bool):
        raise ValueError("must be an integer")  # noqa: TRY004  pydantic makes 422 of it
    return value


def _layout(value: str | None) -> str | None:
    """A grid that the renderer takes; the same one always in the same spelling."""
    if value is None:
        return None
    try:
        grid = Grid.parse(value)
    except InvalidRequest as error:
        raise ValueError(error.detail) from None
    return f"{grid.rows}x{grid.columns}"


Uid = Annotated[str, AfterValidator(_uid), WithJsonSchema(_UID_SCHEMA)]
Code = Annotated[str, Field(max_length=MAX_CODE_LENGTH)] | int | None
HeaderValue = Annotated[str | None, AfterValidator(_header_value)]
ExamId = Annotated[
    int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(_no_bool), WithJsonSchema(_EXAM_ID_SCHEMA)
]
Workers = Annotated[int, BeforeValidator(_no_bool)] | None
Layout = Annotated[
    str | None,
    AfterValidator(_layout),
    Field(description="Images on a page, rows x columns", examples=["2x3"]),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^[1-6]x[1-6]$"}, {"type": "null"}]}),
]
MaxBytes = Annotated[
    Annotated[int, Field(ge=1, le=MAX_PDF_BYTES), BeforeValidator(_no_bool)] | None,
    Field(description="Most bytes of the PDF: images get fewer pixels first, lower quality second"),
]
SeriesNames = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)] | int], Field(max_length=1000)]
    | None,
    Field(description="Only these series, by Series Number or Series Instance UID"),
]


class PageFields(BaseModel):
    """How the pages are to be; every field may be absent or null."""

    layout: Layout = None
    lang: Literal["pt-BR", "en"] | None = None
    lossless: bool | None = None
    max_bytes: MaxBytes = None
    series: SeriesNames = None
    key_images: bool | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.lossless and self.max_bytes:
            raise ValueError("lossless and max_bytes exclude each other")
        return self


class SyncRequest(PageFields):
    """Body of `POST /render/sync`. Unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra={
            "example": {"examID": 12345, "pacs_studies_iuid": "1.2.840.113619.2.55.3.604688119"}
        },
    )

    examID: ExamId  # noqa: N815  the client's name
    pacs_studies_iuid: Uid
    anonymize: bool | None = False
    cover_page: bool | None = False
    max_workers: Workers = None


class ClassificationRequest(BaseModel):
    """Body of `POST /classify`. Unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra={"example": {"pacs_studies_iuid": "1.2.840.113619.2.55.3.604688119"}},
    )

    pacs_studies_iuid: Uid


class ClassificationAccepted(BaseModel):
    """Answer of `POST /classify`."""

    status: Literal["accepted"] = "accepted"
    message: str = "Unverified machine output will be stored in the PACS; not a medical device"
    pacs_studies_iuid: str


class AsyncRequest(PageFields):
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
    max_workers: Workers = None
    delivery: Literal["inline", "link"] | None = "inline"


class ReplayRequest(BaseModel):
    """Body of `POST /jobs/{job_id}/replay`, which may be left out: the receiver's secrets, once more."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, json_schema_extra={"example": {"Authorization": "Bearer ..."}}
    )

    Authorization: HeaderValue = None
    IntegrationToken: HeaderValue = None


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


class Check(BaseModel):
    """What came of asking one thing: whether it answered, and after how many milliseconds."""

    ok: bool
    ms: int
    detail: str | None


class DeepHealth(BaseModel):
    """Answer of `GET /health/deep`."""

    status: Literal["ok", "degraded"]
    checks: dict[str, Check]


class JobError(BaseModel):
    """Why a job, or its delivery, failed."""

    code: str
    detail: str


class Progress(BaseModel):
    """How far the rendering is: instances fetched, frames rendered; the totals once they are known."""

    instances: int = 0
    frames: int = 0
    total: int | None = None
    pages: int | None = None


class Change(BaseModel):
    """A change of state, and when it was."""

    state: State
    at: str


class Attempt(BaseModel):
    """One attempt at the callback. `error` is its class; `status` is null where there was no answer."""

    attempt: int
    at: str
    status: int | None = None
    latency_ms: int
    bytes: int
    error: str | None = None
    detail: str | None = None


class Delivery(BaseModel):
    """How the callback stands. `attempts` counts those of the schedule that runs, or ran last."""

    attempts: int = 0
    ended: bool = False
    delivered: bool = False
    status: int | None = None
    last_error: str | None = None
    at: str | None = None
    next_at: str | None = None


class NotShownEntry(BaseModel):
    """Something of the study that could not be put on a page."""

    sop_instance_uid: str = ""
    reason: str
    detail: str = ""


class Links(BaseModel):
    """Where more is: the job itself, and a link to its PDF that lives for a short time."""

    self: str
    pdf: str | None = None


class JobSummary(BaseModel):
    """A job as a list shows it."""

    job_id: str
    state: State
    examID: int  # noqa: N815
    pacs_studies_iuid: str
    created_at: str
    updated_at: str
    progress: Progress
    partial: bool
    pages: int | None
    error: JobError | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**_summary(job))


class JobPage(BaseModel):
    """Answer of `GET /jobs`. `next` is the `cursor` of the next page, null on the last one."""

    jobs: list[JobSummary]
    next: str | None

    @classmethod
    def of(cls, jobs: Iterable[Job], following: str | None) -> Self:
        return cls(jobs=[JobSummary.of(job) for job in jobs], next=following)


class JobAnswer(JobSummary):
    """Answer of `GET /jobs/{job_id}`. `callback` is null for a job that has none."""

    not_shown: list[NotShownEntry]
    history: list[Change]
    callback: Delivery | None
    attempts: list[Attempt]
    links: Links

    @classmethod
    def of(cls, job: Job, pdf_url: str | None = None) -> Self:
        return cls(
            **_summary(job),
            not_shown=[NotShownEntry.model_validate(entry) for entry in job.not_shown],
            history=[Change.model_validate(entry) for entry in job.history],
            callback=Delivery.model_validate(job.callback) if job.request.url_callback else None,
            attempts=[Attempt.model_validate(entry) for entry in job.attempts],
            links=Links(self=f"/jobs/{job.job_id}", pdf=pdf_url),
        )


def _summary(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": job.state,
        "examID": job.request.exam_id,
        "pacs_studies_iuid": job.request.study_instance_uid,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "progress": Progress.model_validate(job.progress),
        "partial": job.partial,
        "pages": job.pdf.pages if job.pdf else None,
        "error": JobError(code=job.error.code, detail=job.error.detail) if job.error else None,
    }


class PdfLink(BaseModel):
    """Answer of `POST /render/sync` to a caller that accepts JSON and no PDF."""

    job_id: str
    pdf_url: str
    pdf_sha256: str
    pdf_bytes: int
    expires_at: str
    pages: int
    partial: bool


class CallbackBody(BaseModel):
    """What `UrlCallback` gets. The last six keys are there only where they say something."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "examID": 12345,
                "studyIUID": "1.2.840.113619.2.55.3.604688119",
                "ImagensPDF": "JVBERi0xLjcK...",
                "CodAutorizacao": "A-1",
                "CodFaturamento": "F-1-i",
                "CodProcedimento": "P-1",
            }
        },
    )

    examID: int  # noqa: N815
    studyIUID: str  # noqa: N815
    ImagensPDF: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})] | None
    CodAutorizacao: str | int | None
    CodFaturamento: str | None
    CodProcedimento: str | int | None
    status: Literal["failed"] | None = None
    error: JobError | None = None
    pdf_url: str | None = None
    pdf_sha256: str | None = None
    pdf_bytes: int | None = None
    expires_at: str | None = None


class Throttled(BaseModel):
    """429, as the gateway itself answers it."""

    message: str


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


class UnfitOrProblem(RootModel[Unfit | Problem]):
    """422 of `/render/sync`: a list in `detail` for a body that does not fit, else a problem."""


class DeepHealthOrProblem(RootModel[DeepHealth | Problem]):
    """503 of `/health/deep`: what was asked and did not answer, or that nothing could be asked."""


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
        delivery=(body.delivery or "inline") if isinstance(body, AsyncRequest) else "inline",
        layout=body.layout or "",
        lang=body.lang or "",
        lossless=bool(body.lossless),
        max_bytes=body.max_bytes or 0,
        series=tuple(str(name) for name in body.series or ()),
        key_images=bool(body.key_images),
    )
