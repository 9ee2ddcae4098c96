"""The functional groups of frames, read one frame at a time (PS3.3 C.7.6.16, attribute (5200,9230)).

pydicom reads all of them when one is asked for: half a gigabyte and ten seconds for 20,000 frames.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from ponte import attributes
from ponte.errors import InvalidAttribute
from ponte.quiet import BROKEN_INPUT
from ponte.structure import FRAME_GROUPS, Encoding, sequence_items

_KEYWORD: Final = "PerFrameFunctionalGroupsSequence"
_KEPT: Final = "_ponte_frame_groups"
_READ_AT_ONCE = 64  # groups that stay read: frames are in flight in several threads
_MOST_BYTES = 1 << 20  # of one frame's group; a real one has less than a thousandth


def group_of(dataset: Dataset, frame_index: int) -> Dataset | None:
    """The functional group of a frame, None where there is none. Raises `InvalidAttribute`, `NotDicom`."""
    raw = dataset._dict.get(attributes.tag_of(FRAME_GROUPS))  # noqa: SLF001  (any other access converts it)
    if not isinstance(raw, RawDataElement) or raw.VR not in ("SQ", None):
        groups = attributes.items(dataset, _KEYWORD)
        return groups[frame_index] if frame_index < len(groups) else None
    found = dataset.__dict__.get(_KEPT)
    if found is None:
        found = dataset.__dict__[_KEPT] = _FrameGroups(raw)
    group: Dataset | None = found.of(frame_index)
    return group


def has_groups(dataset: Dataset) -> bool:
    """True where the first frame has a functional group."""
    return group_of(dataset, 0) is not None


class _FrameGroups:
    """Where each item of the sequence lies; the last few that were asked for stay read."""

    def __init__(self, raw: RawDataElement) -> None:
        self._value = raw.value or b""
        self._encoding = Encoding(implicit=raw.is_implicit_VR, little_endian=raw.is_little_endian)
        self._spans = sequence_items(self._value, self._encoding)
        self.of = lru_cache(_READ_AT_ONCE)(self._read)

    def _read(self, frame_index: int) -> Dataset | None:
        if frame_index >= len(self._spans):
            return None
        start, end = self._spans[frame_index]
        name = f"The functional group of frame {frame_index + 1}"
        if end - start > _MOST_BYTES:
            raise InvalidAttribute(
                f"{name} has {end - start} bytes; the limit is {_MOST_BYTES}", code="TOO_MANY"
            )
        source = BytesIO(self._value[start:end])
        try:
            return read_dataset(source, self._encoding.implicit, self._encoding.little_endian, end - start)
        except BROKEN_INPUT as error:
            raise InvalidAttribute(f"{name} cannot be read") from error
