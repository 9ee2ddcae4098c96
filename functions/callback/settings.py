"""What the callback functions are told by their environment."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from callback.retries import SCHEDULE_S


class CallbackSettings(BaseSettings):
    """Environment of `callback.handler`, which delivers a job's result to its `UrlCallback`."""

    model_config = SettingsConfigDict(frozen=True)

    stage: Literal["local", "dev", "prod"]
    jobs_table: str
    pdf_bucket: str
    callback_queue_url: str
    callback_queue_arn: str
    callback_dead_letter_arn: str
    schedule_group: str
    scheduler_role_arn: str
    secrets_key_id: str
    webhook_secret_arn: str = ""
    report_queue_url: str = ""
    callback_allow_origins: str = ""
    retry_schedule_seconds: str = ",".join(map(str, SCHEDULE_S))
    max_begins: int = Field(default=3, ge=1)
    retry_base_seconds: int = Field(default=30, ge=0, le=900)
    link_seconds: int = Field(default=900, ge=60)

    @cached_property
    def schedule(self) -> tuple[int, ...]:
        """Seconds before each attempt, the first included."""
        return tuple(int(part) for part in self.retry_schedule_seconds.split(","))


class ReportSettings(BaseSettings):
    """Environment of `callback.report`, which tells the operator's log API of each state change."""

    model_config = SettingsConfigDict(frozen=True)

    stage: Literal["local", "dev", "prod"]
    jobs_table: str
    create_log_url: str
    report_queue_url: str
    timeout_seconds: float = Field(default=5, gt=0)


@cache
def callback_settings() -> CallbackSettings:
    """Read the environment once; importing this module never does."""
    return CallbackSettings()


@cache
def report_settings() -> ReportSettings:
    """Read the environment once; importing this module never does."""
    return ReportSettings()
