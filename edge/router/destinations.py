"""Where instances are forwarded to, as configured: kinds, rules, times, and how each is treated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ponte.dicomweb import checked_address
from ponte.errors import InvalidRequest, PonteError
from ponte_net.association import checked_ae_title
from router.rules import Priority, Rule
from router.schedule import Schedule

TARGET: Final = "target"
"""The name of the destination that `TARGET_HOST`, `TARGET_PORT` and `TARGET_AET` make."""
MOST_DESTINATIONS: Final = 32

Transcode = Literal["never", "lossless", "any"]
"""What to do where a syntax is refused: nothing; send images of reversible syntaxes uncompressed; send those
of lossy ones uncompressed, too. Nothing is ever compressed with a loss."""


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retries(_Options):
    """How a destination, or an instance that it does not take, is tried again, in seconds.

    The pause doubles from `first_s` to `longest_s`, and is somewhere between half of it and all. After
    `alert_after_s` of failure there is an alarm, and again each hour. An instance that fails by itself is
    given up after `give_up_after_s`, with an alarm; while the destination is away, none is.
    """

    first_s: float = Field(5, gt=0, le=3600)
    longest_s: float = Field(300, gt=0, le=86400)
    alert_after_s: float = Field(900, gt=0, le=7 * 86400)
    give_up_after_s: float = Field(7 * 86400, gt=0, le=365 * 86400)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest_s < self.first_s:
            raise ValueError("longest_s is shorter than first_s")
        return self


def _checked_schedule(values: tuple[str, ...]) -> tuple[str, ...]:
    _as_value_error(lambda: Schedule.parse(values))
    return values


def _checked_title(value: str) -> str:
    return str(_as_value_error(lambda: checked_ae_title(value)))


def _checked_url(value: str) -> str:
    _as_value_error(lambda: checked_address(value))
    return value


def _as_value_error(check: Any) -> Any:
    """pydantic gathers `ValueError`s, with the name of what is wrong."""
    try:
        return check()
    except PonteError as error:
        raise ValueError(error.detail) from error


AeTitle = Annotated[str, AfterValidator(_checked_title)]
Url = Annotated[str, AfterValidator(_checked_url)]


class _Common(_Options):
    """What all kinds have. The name is the destination's identity: rows are kept under it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    rules: tuple[Rule, ...] = ()
    priority: Priority = 5
    schedule: Annotated[tuple[str, ...], AfterValidator(_checked_schedule)] = ()
    concurrency: int = Field(1, ge=1, le=16)
    retry: Retries = Retries()
    profile: str | None = None

    @property
    def hours(self) -> Schedule:
        return Schedule.parse(self.schedule)


class _Instances(_Common):
    """Kinds that take instances one by one."""

    send: Literal["instances", "study"] = "instances"
    batch_instances: int = Field(128, ge=1, le=1000)
    batch_bytes: int = Field(64 << 20, ge=1 << 16)
    skip_existing: bool = False

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.skip_existing and self.profile is not None:
            raise ValueError("with a profile, instances have other UIDs: skip_existing cannot find them")
        return self


class DicomNode(_Instances):
    """A C-STORE provider."""

    kind: Literal["dicom"]
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(104, ge=1, le=65535)
    ae_title: AeTitle
    calling_ae_title: AeTitle = "STORESCP"
    max_pdu: int = Field(131072, ge=0, le=1 << 20)
    local_port: int | None = Field(None, ge=1, le=65535)
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    timeout_s: float = Field(60, gt=0, le=3600)
    linger_s: float = Field(2, ge=0, le=60)
    transcode: Transcode = "lossless"
    commitment: bool = False
    commitment_timeout_s: float = Field(3600, gt=0, le=30 * 86400)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.local_port is not None and self.concurrency > 1:
            raise ValueError("with a local_port there can be one association at a time: concurrency is 1")
        if not self.tls and (self.ca_file or self.certificate_file or self.key_file):
            raise ValueError("certificates are given, and tls is not true")
        return self


class WebServer(_Instances):
    """A DICOMweb server (STOW-RS), or an Orthanc by its own interface."""

    kind: Literal["dicomweb", "orthanc"]
    url: Url
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    transcode: Transcode = "lossless"
    timeout_s: float = Field(60, gt=0, le=3600)

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given: give one")
        if self.skip_existing and self.kind == "orthanc":
            raise ValueError("skip_existing asks by QIDO-RS: give the Orthanc as dicomweb")
        if (self.username is None) != (self.password is None and self.password_file is None):
            raise ValueError("username and password (or password_file) go together")
        return self


class Inbox(_Common):
    """A bucket that takes each finished study as a ZIP."""

    kind: Literal["s3"]
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field("inbox/", max_length=200, pattern=r"^([a-zA-Z0-9_.-]+/)*$")
    region: str | None = None
    endpoint_url: Url | None = None
    part_bytes: int = Field(8 << 20, ge=5 << 20, le=1 << 30)
    deflate: bool = True
    timeout_s: float = Field(60, gt=0, le=3600)


Target = Annotated[DicomNode | WebServer | Inbox, Field(discriminator="kind")]
_LIST: Final[TypeAdapter[tuple[Target, ...]]] = TypeAdapter(tuple[Target, ...])


def read_destinations(values: Sequence[Mapping[str, Any]]) -> tuple[Target, ...]:
    """The `destinations` of the configuration. Raises `InvalidRequest`, which names each thing that is wrong
    and quotes no value: a password could be one."""
    try:
        found = _LIST.validate_python(values)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_words(problem) for problem in error.errors())) from None
    names = [destination.name for destination in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"destinations: the name {twice[0]} is given twice")
    if len(names) > MOST_DESTINATIONS:
        raise InvalidRequest(f"destinations: {len(names)} of them; expected {MOST_DESTINATIONS} at most")
    return found


def target(host: str, port: int, ae_title: str, *, calling_ae_title: str = "STORESCP") -> DicomNode:
    """The one destination of an `.env`. Raises `InvalidRequest`."""
    values = {"kind": "dicom", "name": TARGET, "host": host, "port": port, "ae_title": ae_title}
    (found,) = read_destinations([{**values, "calling_ae_title": calling_ae_title}])
    assert isinstance(found, DicomNode)  # noqa: S101  (by its kind)
    return found


def _words(problem: Mapping[str, Any]) -> str:
    """`destinations[1].port: Input should be less than or equal to 65535`."""
    index, *rest = problem["loc"]
    kinds = {"dicom", "dicomweb", "orthanc", "s3"}
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest if part not in kinds)
    return f"destinations[{index}]{path}: {problem['msg'].removeprefix('Value error, ')}"
