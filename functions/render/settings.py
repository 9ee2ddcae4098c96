"""What the render functions are told by their environment."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Stage = Literal["local", "dev", "prod"]
Language = Literal["pt-BR", "en"]


class ApiSettings(BaseSettings):
    """Environment of `render.api`."""

    model_config = SettingsConfigDict(frozen=True)

    stage: Stage
    jobs_table: str
    pdf_bucket: str
    render_queue_url: str
    callback_queue_url: str
    secrets_key_id: str
    body_key_id: str
    report_queue_url: str = ""
    classify_queue_url: str = ""
    dicom_wado_url: str = ""
    check_pacs: bool = True
    allowed_client_ips: str = ""
    api_tokens_secret_arn: str = ""
    default_max_workers: int = Field(default=4, ge=1)
    max_allowed_workers: int = Field(default=8, ge=1)
    callback_allow_origins: str = ""
    sync_wait_seconds: float = Field(default=25, gt=0)
    inline_pdf_bytes: int = Field(default=4_500_000, ge=0)
    link_seconds: int = Field(default=900, ge=60)
    job_retention_days: int = Field(default=7, ge=1)


class WorkerSettings(BaseSettings):
    """Environment of `render.worker`."""

    model_config = SettingsConfigDict(frozen=True)

    stage: Stage
    jobs_table: str
    pdf_bucket: str
    render_queue_url: str
    callback_queue_url: str
    report_queue_url: str = ""
    dicom_wado_url: str = ""
    dicom_auth_secret_arn: str = ""
    max_allowed_workers: int = Field(default=8, ge=1)
    max_attempts: int = Field(default=5, ge=1)
    retry_base_seconds: int = Field(default=30, ge=0, le=900)
    lease_seconds: int = Field(default=90, ge=1, le=900)
    pdf_language: Language = "pt-BR"
    clinic_colour: str = ""
    public_url: str = ""


@cache
def api_settings() -> ApiSettings:
    """Read the environment once; importing this module never does."""
    return ApiSettings()


@cache
def worker_settings() -> WorkerSettings:
    """Read the environment once; importing this module never does."""
    return WorkerSettings()
