"""Where the instances of a study come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ponte.errors import PonteError


@dataclass(frozen=True, slots=True)
class Fetched:
    """One instance as the source keeps it: never decoded, never normalised.

    `data` is a whole Part 10 stream (PS3.10), or what should have been one. `origin` tells a person which
    one it was (`part 12`, a relative path); it may name a patient's folder, so it never goes to a log.
    """

    data: bytes
    origin: str
    error: PonteError | None = None

    def read(self) -> bytes:
        """The bytes. Raises `error` where the source has an instance and cannot give it."""
        if self.error is not None:
            raise self.error
        return self.data


class Source(Protocol):
    """A place that holds studies."""

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        """Yield every instance of the study, in the source's order, one in memory at a time.

        Raises `StudyNotFound` where there is none, another `PermanentError` where a retry cannot help, a
        `TransientError` where it may: also in the middle, when the source breaks off. Ending without an
        error means that the study was had in full.
        """
        ...
