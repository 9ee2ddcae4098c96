"""What came of a rendering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotShown:
    """Something that could not be put on a page: one frame, or a whole instance where `frame_number` is None.

    A video is always among them: of its frames a page shows one at most.

    `reason` is one of the closed list of reason codes; `detail` says more and holds no patient data.
    `sop_instance_uid` is empty where the instance could not be read at all.
    """

    sop_instance_uid: str
    reason: str
    detail: str
    frame_number: int | None = None


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the time went. `decode` and `encode` are sums over the threads; `total` is by the clock."""

    fetch: float
    decode: float
    encode: float
    write: float
    total: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rendering is; `total` is the number of instances where the source knows it."""

    instances: int
    frames: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class RenderReport:
    """Counts of a finished PDF. `frames` were found, `shown` of them have their image on a page.

    `documents` is how many instances that are not images have pages. `left_out` is how many instances and
    frames the caller did not want, and earlier renderings found in the study: that makes no PDF partial.
    `content` is the same for two PDFs that show the same (hex SHA-256); `sources` are SOP Class and SOP
    Instance UID of the instances shown.
    """

    pages: int
    instances: int
    frames: int
    shown: int
    not_shown: tuple[NotShown, ...]
    bytes: int
    seconds: Seconds
    left_out: int = 0
    documents: int = 0
    content: str = ""
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def partial(self) -> bool:
        """True when something of the study is not in the PDF."""
        return bool(self.not_shown)
