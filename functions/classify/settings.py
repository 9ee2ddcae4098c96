"""What the classify function is told by its environment."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from classify.sr import SrClass


class ClassifySettings(BaseSettings):
    """Environment of `classify.handler`.

    `classify_model` is s3://bucket/prefix, or a folder in stage `local`. Reports go to
    `classify_destination`, or where that is empty to the server that the images come from. The function stops
    `margin_seconds` before its time is over, and goes on with a message of its own.
    """

    model_config = SettingsConfigDict(frozen=True, protected_namespaces=())

    stage: Literal["local", "dev", "prod"]
    classify_model: str = ""
    classify_queue_url: str
    archives_table: str = ""
    jobs_table: str
    result_bucket: str
    dicom_wado_url: str = ""
    dicom_auth_secret_arn: str = ""
    classify_destination: str = ""
    classify_auth_secret_arn: str = ""
    sr_class: SrClass = "comprehensive3d"
    saliency: bool = False
    any_body_part: bool = False
    retention_days: int = Field(default=7, ge=1)
    margin_seconds: float = Field(default=60, ge=0)
    retry_base_seconds: int = Field(default=30, ge=0, le=900)


@cache
def classify_settings() -> ClassifySettings:
    """Read the environment once; importing this module never does."""
    return ClassifySettings()
