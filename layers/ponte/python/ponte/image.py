"""An image instance, and its frames as 8-bit pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID, SegmentationStorage

from ponte import attributes, grayscale, groups
from ponte.codecs import HALVING, IMAGE_CODECS
from ponte.colourspace import (
    PARTIAL,
    TRANSFORMED,
    contradicts,
    from_partial,
    has_signed_samples,
    is_transformed,
)
from ponte.description import KEYWORDS, PixelDescription
from ponte.display import (
    TABLE_BITS,
    Chain,
    Window,
    container_table,
    full_window,
    gray_table,
    render_values,
    spanning,
    window_from_table,
    window_from_values,
)
from ponte.errors import InvalidAttribute, NotAnImage, PonteError
from ponte.geometry import FrameGeometry, geometry_of
from ponte.grayscale import Display
from ponte.icc import profile_of
from ponte.overlays import Overlay, draw, overlays_of
from ponte.palette import Supplement, palette_of, supplement_of
from ponte.pixelgrid import PixelGrid, pixel_grid_of
from ponte.pixels import PixelReader, Values, native_endian, to_rgb, unsigned
from ponte.quiet import BROKEN_INPUT, quiet

_FROM_DATA = "window from the data"
_DEGENERATE = "window of the image unusable"
_CODE_STREAM = "colour space of the code stream used"
_NO_PROFILE = "colour profile of the image unusable"
_BYTE = 8
_NO_PIXELS = np.empty((0, 0), np.uint8)
_RAMP = np.arange(1 << _BYTE, dtype=np.uint8)
_SURVEYED = 5  # frames that a window for all is taken from


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame as displayed: `pixels` is (rows, columns) gray or (rows, columns, 3) RGB.

    `window` is the VOI window used, None where none applies: colour, a VOI LUT. `notes` are short.
    """

    pixels: npt.NDArray[np.uint8]
    window: Window | None
    notes: tuple[str, ...]


class Image:
    """The pixels of one instance. Attributes are read once, here; `picture` may be called from any thread.

    Raises `NotAnImage` (NOT_AN_IMAGE, or NO_PIXEL_DATA for an image class without pixels),
    `MissingAttribute`, `InvalidAttribute` (PIXEL_LENGTH where bytes are missing), `LimitExceeded`
    (PIXEL_BUDGET).
    """

    def __init__(self, dataset: Dataset) -> None:
        keyword = next((name for name in KEYWORDS if name in dataset), None)
        if keyword is None:
            raise _without_pixels(dataset)
        self._dataset = dataset
        self._description = PixelDescription.from_dataset(dataset, keyword)
        self._reader = PixelReader(dataset, self._description)
        self._lock = Lock()
        self._displays: dict[int, Display] = {}
        self._survey_lock = Lock()
        self._survey: Window | None = None
        d = self._description
        self.rows, self.columns, self.frame_count = d.rows, d.columns, d.frames
        self.photometric, self.samples = d.photometric, d.samples
        self.transfer_syntax_uid = str(d.transfer_syntax_uid)

    def picture(
        self, frame_index: int, window: Window | None = None, *, overlays: bool = False, halvings: int = 0
    ) -> Picture:
        """Frame `frame_index`, from 0; `window` takes the place of the image's own.

        Overlays are drawn, in white, where they are asked for. Each of `halvings`, `most_halvings` of the
        frame at most, makes rows and columns half as many; it is for pictures without overlays.

        Raises `CannotDecode`, `UnsupportedTransferSyntax`, `LimitExceeded`, and `InvalidAttribute` for a
        frame that is not there or a window without width.
        """
        if not 0 <= frame_index < self.frame_count:
            raise InvalidAttribute(f"The frame is {frame_index + 1}; expected 1 to {self.frame_count}")
        if window is not None and window.is_degenerate:
            raise InvalidAttribute(f"Window Width is {window.width:g}; expected 1 or more")
        values, photometric = self._reader.frame(frame_index, halvings)
        picture = self._displayed(values, photometric, frame_index, window)
        if not overlays:
            return picture
        return replace(picture, pixels=draw(picture.pixels, self._overlays, frame_index, values))

    def shown_by(self, frame_index: int, change: Callable[[Chain], Chain]) -> Picture:
        """A gray frame by another chain, which `change` makes of its own. Raises as `picture`."""
        if not 0 <= frame_index < self.frame_count:
            raise InvalidAttribute(f"The frame is {frame_index + 1}; expected 1 to {self.frame_count}")
        values, _ = self._reader.frame(frame_index)
        chain = change(self._display(frame_index).chain)
        window = chain.voi if isinstance(chain.voi, Window) else None
        return Picture(self._apply(chain, values), window, ())

    @property
    def may_be_halved(self) -> bool:
        """True for a syntax whose code streams hold smaller versions of the picture."""
        return self._description.transfer_syntax_uid in HALVING

    def most_halvings(self, frame_index: int) -> int:
        """How often a frame may be decoded at half its size and be the same picture, only smaller.

        That needs a code stream of wavelets, and values that may be averaged: no labels, no palette, no
        padding that is not black anyhow, and a window that does not depend on them. Raises `CannotDecode`.
        """
        if self.photometric == "PALETTE COLOR" or "SegmentationType" in self._dataset:
            return 0
        if self._supplement is not None or (self.samples == 1 and not self._may_average(frame_index)):
            return 0
        return self._reader.most_halvings(frame_index)

    def _may_average(self, frame_index: int) -> bool:
        display = self._display(frame_index)
        if not display.own or not self._narrow or display.chain.padding is None:
            return display.own and self._narrow
        unpadded = replace(display.chain, padding=None)
        return not render_values(np.array(display.chain.padding), unpadded).any()

    def jpeg(self, frame_index: int) -> tuple[bytes, Picture] | None:
        """The frame's own JPEG where to show it is to decode it and no more; the picture has no pixels.

        None where values are changed on their way to the eye. Raises `CannotDecode`.
        """
        data = self._reader.baseline_jpeg(frame_index)
        if data is None or self.photometric == "PALETTE COLOR" or self._supplement is not None:
            return None
        if self.samples > 1:
            contradicting = contradicts(self._reader.code_stream(frame_index), self.photometric)
            notes = (_CODE_STREAM,) if contradicting else ()
            return data, Picture(_NO_PIXELS, None, (*notes, *self._profile_notes))
        ramp = self._gray(_RAMP, frame_index, None)
        return (data, replace(ramp, pixels=_NO_PIXELS)) if np.array_equal(ramp.pixels, _RAMP) else None

    def _displayed(
        self, values: Values, photometric: str, frame_index: int, window: Window | None
    ) -> Picture:
        if self._description.samples > 1:
            return self._colour(values, photometric, frame_index)
        if self.photometric == "PALETTE COLOR":
            pixels = np.take(self._palette, self._patterns(values), axis=0, mode="clip")
            return Picture(pixels, None, self._profile_notes)
        return self._gray(values, frame_index, window)

    def slice_position_mm(self, frame_index: int) -> float | None:
        """Where the plane of this frame lies along its normal; None without a plane."""
        with quiet():
            return groups.slice_position_mm(self._dataset, frame_index)

    def geometry(self, frame_index: int) -> FrameGeometry:
        """Which way the frame lies, and how large its pixels are."""
        with quiet():
            return geometry_of(self._dataset, frame_index)

    def pixel_grid(self, frame_index: int) -> PixelGrid | None:
        """Where the pixels of this frame lie in the patient; None where the image does not say."""
        with quiet():
            return pixel_grid_of(self._dataset, frame_index)

    def stored_values(self, frame_index: int) -> Values:
        """The stored values of a frame, as unsigned bit patterns. Raises as `picture`."""
        values, _ = self._reader.frame(frame_index)
        return self._patterns(values)

    @property
    def icc_profile(self) -> bytes | None:
        """What the colours of a colour picture mean; None where the image does not say, or not in order."""
        return self._profile[0]

    @property
    def _profile_notes(self) -> tuple[str, ...]:
        return self._profile[1]

    @cached_property
    def _profile(self) -> tuple[bytes | None, tuple[str, ...]]:
        """The profile of the image, and what is to be said of it."""
        if self.samples == 1 and self.photometric != "PALETTE COLOR":
            return None, ()
        try:
            with quiet():
                return profile_of(self._dataset, 3), ()
        except InvalidAttribute:
            return None, (_NO_PROFILE,)

    def _gray(self, values: Values, frame_index: int, window: Window | None) -> Picture:
        display = self._display(frame_index)
        chain, notes = display.chain, display.notes
        if window is not None:
            chain, notes = replace(chain, voi=window), ()
        elif not display.own:
            chain, found = self._with_voi(chain, values)
            notes = (*notes, *found)
        shown_by = chain.voi if isinstance(chain.voi, Window) else None
        pixels = self._apply(chain, values)
        if self._supplement is not None:
            pixels = self._supplement.over(pixels, self._patterns(values))
        return Picture(pixels, shown_by, notes)

    def _apply(self, chain: Chain, values: Values) -> npt.NDArray[np.uint8]:
        """The chain over stored values: by a table where there is one."""
        if not self._narrow:
            return render_values(self._numbers(values), chain)
        containers = unsigned(values)
        bits = containers.dtype.itemsize * _BYTE
        if bits <= TABLE_BITS and bits >= chain.stored.bits + self._shift:
            return np.take(container_table(chain, bits, self._shift), containers, mode="wrap")
        return np.take(gray_table(chain), self._patterns(values), mode="wrap")

    def _with_voi(self, chain: Chain, values: Values) -> tuple[Chain, tuple[str, ...]]:
        """Where the image has no window that serves: all of 8 bits, else what the data span."""
        notes: tuple[str, ...] = (_DEGENERATE,) if self._has_window else ()
        if self._narrow and chain.stored.bits <= _BYTE:
            return replace(chain, voi=full_window(chain.stored, chain.modality)), notes
        window = self._spanned(chain, values) if self.frame_count == 1 else self._window_of_all(chain, values)
        return replace(chain, voi=window), (*notes, _FROM_DATA)

    def _spanned(self, chain: Chain, values: Values) -> Window:
        if self._narrow:
            return window_from_table(self._patterns(values), chain)
        return window_from_values(self._numbers(values), chain)

    def _window_of_all(self, chain: Chain, values: Values) -> Window:
        """One window for all frames, from a few of them: the brightness must not jump from frame to frame."""
        with self._survey_lock:
            if self._survey is None:
                found = [window for index in self._surveyed() if (window := self._look(index)) is not None]
                self._survey = spanning(found or [self._spanned(chain, values)])
            return self._survey

    def _surveyed(self) -> list[int]:
        """Frames that stand for the others: evenly spread, the first and the last among them."""
        last = self.frame_count - 1
        return sorted({round(last * part / (_SURVEYED - 1)) for part in range(_SURVEYED)})

    def _look(self, frame_index: int) -> Window | None:
        """What one frame spans; None where it cannot be had."""
        try:
            values, _ = self._reader.frame(frame_index)
        except PonteError:
            return None
        return self._spanned(self._display(frame_index).chain, values)

    def _display(self, frame_index: int) -> Display:
        """What the dataset says of the display of a frame; read once."""
        key = frame_index if self._by_frame else 0
        with self._lock:
            if key not in self._displays:
                with quiet():
                    self._displays[key] = grayscale.display_of(self._dataset, self._signed, key)
            return self._displays[key]

    @cached_property
    def _by_frame(self) -> bool:
        return "PerFrameFunctionalGroupsSequence" in self._dataset

    @cached_property
    def _has_window(self) -> bool:
        return "WindowWidth" in self._dataset

    @cached_property
    def _signed(self) -> PixelDescription:
        """The description, with the sign that the code stream has."""
        d = self._description
        if d.signed or d.samples > 1 or d.transfer_syntax_uid not in HALVING:
            return d
        return replace(d, signed=True) if has_signed_samples(self._reader.code_stream(0)) else d

    @cached_property
    def _palette(self) -> npt.NDArray[np.uint8]:
        with quiet():
            return palette_of(self._dataset, grayscale.stored_of(self._description))

    @cached_property
    def _overlays(self) -> tuple[Overlay, ...]:
        with quiet():
            return overlays_of(self._dataset, self._description)

    @cached_property
    def _supplement(self) -> Supplement | None:
        if not self._narrow:
            return None
        with quiet():
            return supplement_of(self._dataset, grayscale.stored_of(self._description))

    @cached_property
    def _narrow(self) -> bool:
        return not self._description.is_float and self._description.bits_stored <= TABLE_BITS

    @cached_property
    def _shift(self) -> int:
        """Unused bits below the stored ones. A codec of images keeps none: its samples end at the lowest."""
        d = self._description
        return 0 if d.transfer_syntax_uid in IMAGE_CODECS else d.high_bit + 1 - d.bits_stored

    def _patterns(self, values: Values) -> Values:
        """Unsigned bit patterns, with what stands outside the stored bits cut off (PS3.5 8.1.1)."""
        patterns = unsigned(values)
        if self._shift:
            patterns = patterns >> self._shift
        if self._description.bits_stored < patterns.dtype.itemsize * _BYTE:
            patterns = patterns & patterns.dtype.type((1 << self._description.bits_stored) - 1)
        return patterns

    def _numbers(self, values: Values) -> Values:
        if self._description.is_float:
            return native_endian(values)
        return grayscale.stored_of(self._signed).values(self._patterns(values))

    def _colour(self, values: Values, photometric: str, frame_index: int) -> Picture:
        surplus = self._description.bits_stored - _BYTE
        samples = self._patterns(values)
        if surplus > 0 and samples.dtype.itemsize > 1:
            samples = samples >> surplus
        samples = samples.astype(np.uint8, copy=False)
        data = self._reader.code_stream(frame_index)
        if not data and self.photometric in PARTIAL:
            return Picture(from_partial(samples), None, self._profile_notes)
        if photometric in TRANSFORMED or is_transformed(data):
            photometric = "RGB"
        notes = (_CODE_STREAM,) if contradicts(data, self.photometric) else ()
        return Picture(to_rgb(samples, photometric), None, (*notes, *self._profile_notes))


def _without_pixels(dataset: Dataset) -> NotAnImage:
    """An image class that lacks its pixels is damaged; a report or a plan never had any."""
    with quiet():
        uid = UID(attributes.text(dataset, "SOPClassUID"))
    try:
        name = str(uid.name)
    except BROKEN_INPUT:
        name = "unknown"
    if "Image Storage" in name or uid == SegmentationStorage:
        return NotAnImage(f"{name} without Pixel Data (7FE0,0010)", code="NO_PIXEL_DATA")
    return NotAnImage(f"{name if name != uid else 'This class'} holds no pixels")
