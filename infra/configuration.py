"""What the operator decides: read once from CDK context and the environment, checked, then frozen."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from infra.layers import Architecture
from ponte.dedup import Policy

_SECRET_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@-]+-\w{6}")
_MODEL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.-]+)+/?")
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TIME_ZONE = re.compile(r"[A-Za-z]+([/_+-][A-Za-z0-9_+-]+)*")

_DESTINATIONS = frozenset({"dicom", "http", "https", "orthanc+http", "orthanc+https"})

Stage = Literal["local", "dev", "prod"]


class ConfigurationError(ValueError):
    """The operator's settings do not fit; the text names each variable at fault."""


def _listed(value: object) -> object:
    """A comma-separated text, or a list from `cdk.json`, as a tuple without blanks."""
    parts = value.split(",") if isinstance(value, str) else value
    return (
        tuple(str(p).strip() for p in parts if str(p).strip()) if isinstance(parts, list | tuple) else parts
    )


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Configuration(BaseModel):
    """Settings of the app. Each field is a context key, and in upper case an environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage = "prod"
    architecture: Architecture = "arm64"
    stub_layers: bool | None = None  # locally yes, unless the emulator runs functions in containers

    dicom_wado_url: str = ""
    dicom_auth_secret_arn: str = ""
    dicom_auth_key_arn: str = ""
    allowed_client_ips: Listed = ()
    api_tokens_secret_arn: str = ""
    api_tokens_key_arn: str = ""
    api_authorizer: Literal["none", "iam", "jwt"] = "none"
    jwt_issuer: str = ""
    jwt_audience: Listed = ()
    api_rate_per_s: int = Field(default=50, ge=1, le=10_000)
    api_burst: int = Field(default=100, ge=1, le=5_000)
    callback_allow_origins: Listed = ()
    create_log_url: str = ""
    default_max_workers: int = Field(default=4, ge=1, le=64)
    max_allowed_workers: int = Field(default=8, ge=1, le=64)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    tz: str = "America/Sao_Paulo"
    pdf_language: Literal["pt-BR", "en"] = "pt-BR"
    clinic_colour: str = Field(default="", pattern=r"^(#?[0-9a-fA-F]{6})?$")
    public_url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")

    classify_model: str = ""
    classify_model_key_arn: str = ""
    classify_destination: str = ""
    classify_auth_secret_arn: str = ""
    classify_auth_key_arn: str = ""
    classify_sr_class: Literal["comprehensive3d", "comprehensive", "enhanced"] = "comprehensive3d"
    classify_saliency: bool = False
    classify_any_body_part: bool = False
    classify_concurrency: int = Field(default=2, ge=2, le=1000)

    ingest_destination: str = ""
    ingest_auth_secret_arn: str = ""
    ingest_auth_key_arn: str = ""
    dedup_policy: Policy = Policy.UID_THEN_SHA256
    ingest_webhook_url: str = ""
    classify: bool = False
    render_ingested: bool = False
    ingest_concurrency: int = Field(default=2, ge=2, le=1000)
    ingest_memory_mb: int = Field(default=1769, ge=512, le=10_240)  # a whole processor from there on

    render_concurrency: int = Field(default=4, ge=2, le=1000)
    worker_memory_mb: int = Field(default=3008, ge=1024, le=10_240)
    log_retention_days: int = Field(default=90, ge=1)
    alarm_topic_arn: str = ""
    edge_sites: Listed = ()

    vpc_id: str = ""
    subnet_ids: Listed = ()
    security_group_ids: Listed = ()

    @classmethod
    def read(cls, context: Callable[[str], object], environment: Mapping[str, str]) -> Self:
        """Take each field from the context, else from the environment. Raises `ConfigurationError`."""
        found: dict[str, Any] = {}
        for name in cls.model_fields:
            value = context(name)
            if value is None:
                value = environment.get(name.upper()) or None
            if value is not None:
                found[name] = value
        try:
            return cls(**found)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None

    @property
    def is_local(self) -> bool:
        """Whether this is for the emulator on one machine."""
        return self.stage == "local"

    @property
    def has_stub_layers(self) -> bool:
        """Whether third-party packages come from the emulator's own environment."""
        return self.is_local if self.stub_layers is None else self.stub_layers

    @field_validator("allowed_client_ips")
    @classmethod
    def _addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            try:
                ip_network(entry)
            except ValueError:
                raise ValueError(
                    f"{entry!r} is no address or CIDR (10.1.2.3, 10.1.0.0/16, 2001:db8::/32)"
                ) from None
        return entries

    @field_validator("classify_model")
    @classmethod
    def _model(cls, value: str) -> str:
        if value and not _MODEL.fullmatch(value):
            raise ValueError("is not s3://bucket/prefix, where manifest.json and the model are")
        return value.rstrip("/")

    @field_validator("ingest_destination", "classify_destination")
    @classmethod
    def _destination(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in _DESTINATIONS or not parts.hostname):
            raise ValueError(
                "is none of dicom://AET@host:port, https://host/dicom-web, orthanc+https://host:8042"
            )
        if parts.password or (parts.scheme != "dicom" and "@" in parts.netloc):
            raise ValueError("holds credentials: put them in Secrets Manager (..._AUTH_SECRET_ARN)")
        return value

    @field_validator("dicom_wado_url", "create_log_url", "ingest_webhook_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("is no http or https URL")
        if value and "@" in urlsplit(value).netloc:
            raise ValueError("holds credentials: put them in Secrets Manager (DICOM_AUTH_SECRET_ARN)")
        return value

    @field_validator("callback_allow_origins")
    @classmethod
    def _origins(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if not _is_origin(entry):
                raise ValueError(f"{entry!r} is no origin (https://host:port) or CIDR")
        return entries

    @field_validator(
        "dicom_auth_secret_arn", "api_tokens_secret_arn", "ingest_auth_secret_arn", "classify_auth_secret_arn"
    )
    @classmethod
    def _secret(cls, value: str) -> str:
        if value and not _SECRET_ARN.fullmatch(value):
            raise ValueError("is not the whole ARN of a secret, with the six characters at its end")
        return value

    @field_validator("edge_sites")
    @classmethod
    def _sites(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if not _SITE.fullmatch(entry):
                raise ValueError(
                    f"{entry!r} is no name of a site; expected up to 64 of a-z, A-Z, 0-9, - and _"
                )
        if len({entry.lower() for entry in entries}) < len(entries):
            raise ValueError("a site is named twice")
        return entries

    @field_validator("tz")
    @classmethod
    def _time_zone(cls, value: str) -> str:
        value = value.removeprefix(":")
        if not _TIME_ZONE.fullmatch(value):
            raise ValueError(f"{value!r} is no time zone (America/Sao_Paulo)")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        self._check_access()
        self._check_ingest()
        if self.default_max_workers > self.max_allowed_workers:
            raise ValueError("DEFAULT_MAX_WORKERS is above MAX_ALLOWED_WORKERS")
        if self.stub_layers and not self.is_local:
            raise ValueError("STUB_LAYERS is for stage local: in AWS the functions need the built layers")
        given = [bool(self.vpc_id), bool(self.subnet_ids), bool(self.security_group_ids)]
        if any(given) and not all(given):
            raise ValueError("VPC_ID, SUBNET_IDS and SECURITY_GROUP_IDS go together: give all three, or none")
        return self

    def _check_ingest(self) -> None:
        """Raises ValueError for what would have no effect, or none that anybody would notice."""
        if not self.ingest_destination and (
            self.ingest_webhook_url or self.classify or self.render_ingested or self.ingest_auth_secret_arn
        ):
            raise ValueError(
                "INGEST_DESTINATION is not set: INGEST_WEBHOOK_URL, INGEST_AUTH_SECRET_ARN, CLASSIFY and "
                "RENDER_INGESTED are about archives that it would take"
            )
        if self.classify and not self.classify_model:
            raise ValueError("CLASSIFY needs CLASSIFY_MODEL: Ponte brings no model")
        if self.classify_model and not self.dicom_wado_url:
            raise ValueError("CLASSIFY_MODEL needs DICOM_WADO_URL, from where the studies are then fetched")
        if self.render_ingested and not self.dicom_wado_url:
            raise ValueError("RENDER_INGESTED needs DICOM_WADO_URL, from where the studies are then fetched")

    def _check_access(self) -> None:
        """Raises ValueError where everybody could call, or where two of the ways in exclude each other."""
        guarded = self.allowed_client_ips or self.api_tokens_secret_arn or self.api_authorizer != "none"
        if not self.is_local and not guarded:
            raise ValueError(
                "ALLOWED_CLIENT_IPS is not set, nor API_TOKENS_SECRET_ARN, nor API_AUTHORIZER: the API would "
                "be open to everybody. Name the addresses that may call it "
                "(ALLOWED_CLIENT_IPS=203.0.113.7,198.51.100.0/24), or who may"
            )
        if self.api_tokens_secret_arn and self.api_authorizer != "none":
            raise ValueError(
                "API_TOKENS_SECRET_ARN and API_AUTHORIZER both want the Authorization header: give one"
            )
        is_jwt = self.api_authorizer == "jwt"
        if is_jwt != bool(self.jwt_issuer) or is_jwt != bool(self.jwt_audience):
            raise ValueError("JWT_ISSUER and JWT_AUDIENCE go with API_AUTHORIZER=jwt: give all three")
        if is_jwt and not self.jwt_issuer.startswith("https://"):
            raise ValueError("JWT_ISSUER is no https URL")


def _is_origin(entry: str) -> bool:
    """Whether an entry of CALLBACK_ALLOW_ORIGINS is a CIDR or exactly `scheme://host[:port]`."""
    try:
        ip_network(entry)
    except ValueError:
        pass
    else:
        return True
    try:
        parts = urlsplit(entry)
        port = parts.port
    except ValueError:
        return False
    named = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return bool(named) and port != 0 and not (parts.path or parts.query or parts.fragment)


def _explain(error: ValidationError) -> str:
    """One line for each variable at fault."""
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in fault["loc"]).upper()
        text = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {text}" if name else text)
    return "\n".join(lines)
