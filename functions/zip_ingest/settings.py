"""What the ingest functions are told by their environment."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ponte.dedup import Policy

Stage = Literal["local", "dev", "prod"]


class IngestSettings(BaseSettings):
    """Environment of `zip_ingest.handler`.

    It stops `margin_seconds` before its time is over. `max_attempts` are those in a row that bring an archive
    no further, `max_silent` those of them that end without a word.
    """

    model_config = SettingsConfigDict(frozen=True)

    stage: Stage
    archives_table: str
    ledger_table: str
    inbox_bucket: str
    ingest_queue_url: str
    ingest_dead_letter_url: str
    ingest_destination: str = ""
    ingest_auth_secret_arn: str = ""
    dedup_policy: Policy = Policy.UID_THEN_SHA256
    webhook_queue_url: str = ""
    classify_queue_url: str = ""
    render_ingested: bool = False
    render_queue_url: str = ""
    jobs_table: str = ""
    job_retention_days: int = Field(default=7, ge=1)
    archive_retention_days: int = Field(default=90, ge=15)
    report_language: Literal["pt-BR", "en"] = "pt-BR"
    batch_instances: int = Field(default=128, ge=1)
    batch_bytes: int = Field(default=64 << 20, ge=1)
    lease_seconds: int = Field(default=120, ge=1, le=900)
    margin_seconds: float = Field(default=120, ge=0)
    max_attempts: int = Field(default=300, ge=1)
    max_silent: int = Field(default=4, ge=1)
    retry_base_seconds: int = Field(default=30, ge=0, le=900)


class WebhookSettings(BaseSettings):
    """Environment of `zip_ingest.webhook`, which tells the operator's system of each archive's end."""

    model_config = SettingsConfigDict(frozen=True)

    stage: Stage
    archives_table: str
    webhook_queue_url: str
    ingest_webhook_url: str
    webhook_secret_arn: str = ""
    timeout_seconds: float = Field(default=20, gt=0)
    retry_base_seconds: int = Field(default=30, ge=0, le=900)


@cache
def ingest_settings() -> IngestSettings:
    """Read the environment once; importing this module never does."""
    return IngestSettings()


@cache
def webhook_settings() -> WebhookSettings:
    """Read the environment once; importing this module never does."""
    return WebhookSettings()
