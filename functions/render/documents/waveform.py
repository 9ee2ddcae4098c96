"""The waveforms of an instance as numbers in their own unit (PS3.3 C.10.9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from ponte import attributes
from ponte.errors import CannotDecode, InvalidAttribute, MissingAttribute
from ponte.quiet import BROKEN_INPUT
from render.documents.codes import code_value, meaning

MOST_CHANNELS: Final = 64
"""Channels of a group that are drawn."""
MOST_SECONDS: Final = 600.0
"""Of a group; what is drawn of it is less where the sheets end first."""
MOST_SAMPLES: Final = 8 << 20
"""Of all channels of a group together."""

_TYPES: Final = {
    ("SB", 8): "i1",
    ("UB", 8): "u1",
    ("SS", 16): "i2",
    ("US", 16): "u2",
    ("SL", 32): "i4",
    ("UL", 32): "u4",
}
_MILLIVOLTS: Final = {"nV": 1e-6, "uV": 1e-3, "µV": 1e-3, "mV": 1.0, "V": 1e3}
_LEAD = re.compile(r"(?:lead[ _])?(I{1,3}|aV[RLF]|V[1-9]R?|CM[1-5])(?: \(Einthoven\))?", re.IGNORECASE)
_LEAD_NAMES: Final = {
    name.lower(): name
    for name in (
        *("I", "II", "III", "aVR", "aVL", "aVF"),
        *(f"V{number}{side}" for number in range(1, 10) for side in ("", "R")),
        *(f"CM{number}" for number in range(1, 6)),
    )
}
_LEAST_RATE_HZ, _MOST_RATE_HZ = 1.0, 1e6


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. `values` are in `unit`, NaN where nothing was recorded; voltages are in mV.

    `lead` is the name of a standard lead, "" of any other channel; `label` is what the instance calls it.
    """

    values: npt.NDArray[np.float64]
    unit: str
    lead: str = ""
    label: str = ""
    calibrated: bool = True
    band_hz: tuple[float | None, float | None] = (None, None)
    notch_hz: float | None = None
    statuses: tuple[str, ...] = ()
    skew_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that were sampled together, `channel_count` of them, for `seconds`; not all are read."""

    label: str
    channels: tuple[Channel, ...]
    channel_count: int
    rate_hz: float
    seconds: float
    derived: bool = False


def read_group(dataset: Dataset, item: Dataset) -> Group:
    """One multiplex group. Raises `MissingAttribute`, `InvalidAttribute`, `CannotDecode`."""
    count = attributes.required_int(item, "NumberOfWaveformChannels", 1, 65535)
    samples = attributes.required_int(item, "NumberOfWaveformSamples", 1, 2**32 - 1)
    rate = _rate(item)
    wanted = min(samples, int(MOST_SECONDS * rate) + 1, max(1, MOST_SAMPLES // count))
    raw = _samples(dataset, item, count, samples, wanted)
    definitions = attributes.items(item, "ChannelDefinitionSequence")
    if len(definitions) != count:
        said = attributes.describe("ChannelDefinitionSequence")
        raise InvalidAttribute(f"{said} has {len(definitions)} items; expected {count}")
    padding = _padding(item, raw.dtype)
    shown = definitions[:MOST_CHANNELS]
    channels = tuple(_channel(of, raw[:, index], padding, rate) for index, of in enumerate(shown))
    derived = attributes.text(item, "WaveformOriginality") == "DERIVED"
    label = attributes.text(item, "MultiplexGroupLabel")
    return Group(label, channels, count, rate, samples / rate, derived)


def rate_of(item: Dataset) -> float:
    """The sampling frequency as it is said; 0 where it is not."""
    return attributes.to_float(attributes.first(item, "SamplingFrequency")) or 0.0


def _rate(item: Dataset) -> float:
    rate = rate_of(item)
    if not _LEAST_RATE_HZ <= rate <= _MOST_RATE_HZ:
        raise InvalidAttribute(
            f"{attributes.describe('SamplingFrequency')} is not one that paper at 25 mm/s can show"
        )
    return rate


def _samples(dataset: Dataset, item: Dataset, channels: int, samples: int, wanted: int) -> npt.NDArray[Any]:
    """The first samples as they are stored, of shape (samples, channels); a view of the bytes."""
    bits = attributes.required_int(item, "WaveformBitsAllocated", 8, 64)
    interpretation = attributes.text(item, "WaveformSampleInterpretation")
    name = _TYPES.get((interpretation, bits))
    if name is None:
        said = attributes.describe("WaveformSampleInterpretation")
        raise InvalidAttribute(f"{said} is not one that is drawn, with {bits} bits")
    big = attributes.text(dataset.file_meta, "TransferSyntaxUID") == ExplicitVRBigEndian
    kind = np.dtype(name).newbyteorder(">" if big else "<")
    try:
        data = item.get_item("WaveformData").value
    except BROKEN_INPUT:
        data = None
    if not isinstance(data, bytes) or not data:
        raise MissingAttribute(f"{attributes.describe('WaveformData')} is absent")
    expected = samples * channels * kind.itemsize
    if len(data) < expected:
        raise CannotDecode(
            f"{attributes.describe('WaveformData')} has {len(data)} bytes; expected {expected}",
            code="TRUNCATED",
        )
    return np.frombuffer(data, kind, wanted * channels).reshape(wanted, channels)


def _padding(item: Dataset, kind: np.dtype[Any]) -> int | None:
    """The sample that means that nothing was recorded."""
    try:
        value = item.get_item("WaveformPaddingValue").value
    except BROKEN_INPUT:
        return None
    if isinstance(value, bytes) and len(value) >= kind.itemsize:
        return int(np.frombuffer(value, kind, 1)[0])
    return attributes.to_int(value)


def _channel(item: Dataset, raw: npt.NDArray[Any], padding: int | None, rate: float) -> Channel:
    values = raw.astype(np.float64)
    if padding is not None:
        values[raw == padding] = np.nan
    sensitivity = _number(item, "ChannelSensitivity")
    unit, factor = _unit(item)
    if sensitivity is not None:
        correction = _number(item, "ChannelSensitivityCorrectionFactor")
        values *= sensitivity * (1.0 if correction is None else correction)
        values += _number(item, "ChannelBaseline") or 0.0
        values *= factor
    lead, label = _names(item)
    return Channel(
        values=values,
        unit=unit if sensitivity is not None else "",
        lead=lead,
        label=label,
        calibrated=sensitivity is not None,
        band_hz=(_number(item, "FilterLowFrequency"), _number(item, "FilterHighFrequency")),
        notch_hz=_number(item, "NotchFilterFrequency"),
        statuses=tuple(str(value) for value in attributes.values(item, "ChannelStatus") if value != "OK"),
        skew_s=_skew(item, rate),
    )


def _number(item: Dataset, keyword: str) -> float | None:
    return attributes.to_float(attributes.first(item, keyword))


def _skew(item: Dataset, rate: float) -> float:
    """How much later than the group's the channel's first sample is."""
    skew = _number(item, "ChannelTimeSkew")
    if skew is None:
        skew = (_number(item, "ChannelSampleSkew") or 0.0) / rate
    return skew if abs(skew) < 1 else 0.0


def _unit(item: Dataset) -> tuple[str, float]:
    """The unit, and what makes a voltage millivolts."""
    for unit in attributes.items(item, "ChannelSensitivityUnitsSequence")[:1]:
        symbol = code_value(unit)
        factor = _MILLIVOLTS.get(symbol)
        return ("mV", factor) if factor is not None else (_symbol(symbol) or meaning(unit), 1.0)
    return "", 1.0


def _symbol(code: str) -> str:
    """UCUM as people write it: `mm[Hg]` is mmHg."""
    plain = code.replace("[", "").replace("]", "")
    return plain if re.fullmatch(r"[A-Za-z%/0-9]+", plain, re.ASCII) else ""


def _names(item: Dataset) -> tuple[str, str]:
    """The standard lead where it is one, and what the channel is called otherwise."""
    source = next((meaning(source) for source in attributes.items(item, "ChannelSourceSequence")[:1]), "")
    label = attributes.text(item, "ChannelLabel")
    for name in (source, label):
        found = _LEAD.fullmatch(name.strip())
        if found and found[1].lower() in _LEAD_NAMES:
            return _LEAD_NAMES[found[1].lower()], label or source
    return "", label or source
