"""The pipeline of one study: fetch, decode, compress and write overlap, with few frames in memory at once."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import perf_counter

from pydicom import Dataset

from ponte import attributes
from ponte.burned_in import Region, masked, trusted_regions
from ponte.encapsulated import is_own_document
from ponte.errors import BadAnswer, CannotDecode, LimitExceeded, NotAnImage, PonteError
from ponte.image import Image, Picture
from ponte.instance import open_instance
from ponte.presented import PresentedImage
from ponte.quiet import quiet
from ponte.segmentation import Segmentation, segmentation_of
from ponte.source import Fetched, Source
from ponte.study import InstanceAttributes, SeriesAttributes, StudyAttributes
from ponte.video import Video, open_image
from render.images import ImageStore
from render.layout import Layout
from render.options import RenderOptions
from render.page_image import color_space, encode_page_image
from render.pdf import PageImage
from render.record import NO_SERIES, Record, SeriesTally
from render.report import NotShown, Progress
from render.segments import SegmentedFrame, SegmentedFrames, segmented_frame
from render.selection import Selection
from render.sheet import Document

_LOGGER = logging.getLogger(__name__)
_IN_FLIGHT_BEYOND_WORKERS = 2
_NO_INSTANCE = InstanceAttributes()

Regions = tuple[Region, ...] | None
Pictured = Image | Video | PresentedImage
DrawDocument = Callable[[Dataset], Document | None]


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not shown, with what is needed to say where it belongs.

    `video` is true for a video, of which at most its poster frame is shown.
    """

    series: SeriesAttributes
    instance: InstanceAttributes
    not_shown: NotShown
    video: bool = False


@dataclass(slots=True)
class Clock:
    """Seconds spent in each step, summed over the threads."""

    fetch: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    write: float = 0.0


@dataclass(slots=True)
class Collected:
    """What came of the study: its records, a tally for each series, and what is missing.

    `left_out` counts the instances and frames that the caller did not want.
    """

    study: StudyAttributes | None = None
    records: list[Record] = field(default_factory=list)
    series: dict[str, SeriesTally] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    instances: int = 0
    frames: int = 0
    shown: int = 0
    documents: int = 0
    left_out: int = 0
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """One frame, ready to be written."""

    image: PageImage
    picture: Picture
    decode_seconds: float
    encode_seconds: float
    segmented: SegmentedFrame | None = None


_Outcome = _Encoded | PonteError


def _pass_on(image: Image, frame_index: int) -> _Outcome | None:
    """The frame's own JPEG where to show it is to decode it and no more; what is wrong is returned."""
    began = perf_counter()
    try:
        jpeg = image.jpeg(frame_index)
    except Exception as error:  # noqa: BLE001  (a boundary: one bad frame must not cost the others their page)
        return _as_ponte_error(error)
    if jpeg is None:
        return None
    data, picture = jpeg
    passed = PageImage(
        image.columns,
        image.rows,
        color_space(image.samples),
        "DCTDecode",
        data,
        icc_profile=image.icc_profile if image.samples > 1 else None,
    )
    return _Encoded(passed, picture, perf_counter() - began, 0.0)


def _encode_frame(
    image: Pictured, frame_index: int, layout: Layout | None, regions: Regions = None
) -> _Outcome:
    """Decode, display and compress one frame, without loss where there is no `layout` to fit it to.

    Of a picture with `regions` only those are shown. Runs in a worker thread; what is wrong is returned.
    """
    began = perf_counter()
    try:
        halvings = 0
        if isinstance(image, Image):
            halvings = _halvings(image, frame_index, layout) if layout and regions is None else 0
            picture = image.picture(frame_index, halvings=halvings)
        else:
            picture = image.picture(frame_index)
        if regions is not None:
            picture = replace(picture, pixels=masked(picture.pixels, regions))
        decoded = perf_counter()
        page_image = encode_page_image(picture, lossless=layout is None)
        if isinstance(image, Image) and picture.pixels.ndim > 2:
            page_image = replace(page_image, icc_profile=image.icc_profile)
    except Exception as error:  # noqa: BLE001  (likewise)
        return _as_ponte_error(error)
    # The pixels are no longer needed: only the window and the notes go on.
    notes = (*picture.notes, f"resolution 1/{1 << halvings}") if halvings else picture.notes
    bare = Picture(pixels=picture.pixels[:0], window=picture.window, notes=notes)
    return _Encoded(page_image, bare, decoded - began, perf_counter() - decoded)


def _encode_segments(
    image: Image, frame_index: int, layout: Layout | None, segmentation: Segmentation
) -> _Outcome:
    """As `_encode_frame`, with the outlines that may lie on another image; without them it is still shown."""
    encoded = _encode_frame(image, frame_index, layout)
    if isinstance(encoded, PonteError):
        return encoded
    try:
        return replace(encoded, segmented=segmented_frame(image, segmentation, frame_index))
    except Exception as error:  # noqa: BLE001  (likewise)
        _as_ponte_error(error)
        return encoded


def _halvings(image: Image, frame_index: int, layout: Layout) -> int:
    """How often the frame's resolution is halved in decoding: it still has all that the page can show."""
    if not image.may_be_halved:
        return 0
    useful = layout.useful_halvings(image.columns, image.rows * image.geometry(frame_index).pixel_aspect)
    return min(useful, image.most_halvings(frame_index)) if useful else 0


def _evenly(count: int, most: int) -> Sequence[int]:
    """So many of the frames, the first and the last among them; all of them where `most` is 0."""
    if not most or most >= count:
        return range(count)
    if most == 1:
        return [count // 2]
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]


def _position(image: Image | Video, instance: InstanceAttributes, frame_index: int) -> float | None:
    """The slice position of a frame; that of an instance of one page is known already."""
    if isinstance(image, Video) or image.frame_count == 1:
        return instance.slice_position_mm
    return image.slice_position_mm(frame_index)


def _check_size(image: Image | Video, regions: Regions) -> None:
    """Regions are those of the header's picture. Raises `NotAnImage` for a video of another size."""
    if regions is not None and isinstance(image, Video) and image.description.contradicts:
        raise NotAnImage("Text may be burned into the video, whose size is another one", code="BURNED_IN")


def _processors() -> int:
    """How many processors this process may use."""
    count = os.process_cpu_count() if sys.version_info >= (3, 13) else os.cpu_count()
    return count or 1


def _as_ponte_error(error: Exception) -> PonteError:
    """`error` with a reason code; one that was not raised on purpose is logged, without its text."""
    if isinstance(error, PonteError):
        return error
    if isinstance(error, MemoryError):
        return LimitExceeded("Memory ran out")
    _LOGGER.warning("instance could not be read", extra={"error_type": type(error).__name__})
    return CannotDecode("The decoder failed")


class Collector:
    """Runs the pipeline once. All images are in the store when `run` returns."""

    def __init__(
        self,
        images: ImageStore,
        study_instance_uid: str,
        options: RenderOptions,
        selection: Selection,
        draw_document: DrawDocument,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._images = images
        self._layout = None if options.lossless else Layout(options.grid, options.paper)
        self._study_instance_uid = study_instance_uid
        self._options = options
        self._selection = selection
        self._draw_document = draw_document
        self._on_progress = on_progress
        # Decoding and compressing keep a processor busy: more threads than processors only hinder one another
        self._workers = min(options.max_workers, _processors())
        self._pending: deque[tuple[Record, Future[_Outcome] | _Outcome]] = deque()
        self._collected = Collected()
        self._segments = SegmentedFrames(options.language, anonymous=options.anonymize)

    def run(self, source: Source) -> Collected:
        """Take every instance of the study. Whatever the source raises goes on to the caller."""
        executor = ThreadPoolExecutor(self._workers, thread_name_prefix="render")
        try:
            with quiet():  # entered once here, it costs next to nothing where it is entered again below
                self._take_all(source, executor)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        return self._collected

    def _take_all(self, source: Source, executor: ThreadPoolExecutor) -> None:
        for fetched in self._timed(source.instances(self._study_instance_uid)):
            self._take(fetched, executor)
            del fetched  # not to be held while the next one arrives
        while self._pending:
            self._finish_oldest()
        self._collected.records += self._segments.records(tuple(self._collected.records), self._images)

    def _timed(self, instances: Iterator[Fetched]) -> Iterator[Fetched]:
        """`instances`, with the time that waiting for each took."""
        while True:
            began = perf_counter()
            fetched = next(instances, None)
            self._collected.clock.fetch += perf_counter() - began
            if fetched is None:
                return
            yield fetched
            del fetched

    def _take(self, fetched: Fetched, executor: ThreadPoolExecutor) -> None:
        """Open one instance and hand its frames to the workers, waiting while too many are in flight."""
        self._collected.instances += 1
        began = perf_counter()
        try:
            dataset = open_instance(fetched.read())
            series, instance = self._file(dataset)
        except BadAnswer:
            raise
        except Exception as error:  # noqa: BLE001  (a boundary: one bad instance must not cost the others)
            self._miss_unreadable(_as_ponte_error(error))
            return
        finally:
            self._collected.clock.decode += perf_counter() - began
        # A rendering of before, stored in the study: shown again, each would hold the ones before it
        if is_own_document(dataset) or not self._is_wanted(series, instance):
            self._leave_out(series, 1)
            return
        try:
            image, regions = open_image(dataset), self._trusted(dataset)
            _check_size(image, regions)
        except NotAnImage as error:
            if error.code == "NOT_AN_IMAGE":
                self._take_document(dataset, series, instance, error)
            else:
                self._miss_instance(series, instance, error)
            return
        except Exception as error:  # noqa: BLE001  (likewise)
            self._miss_instance(series, instance, _as_ponte_error(error))
            return
        segmentation = segmentation_of(dataset) if regions is None else None
        self._submit(image, regions, series, instance, segmentation, executor)

    def _take_document(
        self, dataset: Dataset, series: SeriesAttributes, instance: InstanceAttributes, reason: NotAnImage
    ) -> None:
        """Pages of what is no image, where it has some; what of it has none is named."""
        try:
            document = self._draw_document(dataset)
        except Exception as error:  # noqa: BLE001  (likewise)
            self._miss_instance(series, instance, _as_ponte_error(error))
            return
        if document is None or not document.sheets:
            words = (document.title, document.left_out) if document else ()
            named = ": ".join(word for word in words if word)
            self._miss(series, instance, NotAnImage(named or reason.detail), None)
            return
        if document.left_out:
            self._miss(series, instance, NotAnImage(document.left_out), None)
        self._collected.documents += 1
        self._collected.series[series.series_instance_uid].shown += 1
        self._collected.records.append(Record(series, instance, 1, 1, document=document))

    def _trusted(self, dataset: Dataset) -> Regions:
        """What of a picture an anonymous document shows; None for all of it. Raises `NotAnImage`."""
        if not self._options.anonymize:
            return None
        with quiet():
            regions = trusted_regions(dataset)
        if regions is not None and not regions:
            raise NotAnImage("Text may be burned into the picture", code="BURNED_IN")
        return regions

    def _is_wanted(self, series: SeriesAttributes, instance: InstanceAttributes) -> bool:
        """By the series that the caller named, and one instance of so many by its number, else by arrival."""
        if self._selection.keys is not None and instance.sop_instance_uid not in self._selection.keys:
            return False
        names = self._options.series
        if names and not {str(series.series_number), series.series_instance_uid} & set(names):
            return False
        tally = self._collected.series[series.series_instance_uid]
        number = tally.received if instance.instance_number is None else instance.instance_number
        return (number - 1) % self._options.every == 0

    def _leave_out(self, series: SeriesAttributes, count: int) -> None:
        self._collected.left_out += count
        self._collected.series[series.series_instance_uid].left_out += count

    def _submit(
        self,
        image: Image | Video,
        regions: Regions,
        series: SeriesAttributes,
        instance: InstanceAttributes,
        segmentation: Segmentation | None,
        executor: ThreadPoolExecutor,
    ) -> None:
        """A picture of each wanted frame of an image; one of a video, its poster frame."""
        self._collected.frames += image.frame_count
        video = image.description if isinstance(image, Video) else None
        if isinstance(image, Video):
            chosen: Sequence[int] = [image.poster_index]
        else:
            wanted = self._selection.frames(instance.sop_instance_uid, range(image.frame_count))
            chosen = [wanted[number] for number in _evenly(len(wanted), self._options.frames)]
            self._leave_out(series, image.frame_count - len(chosen))
        presented = None
        if isinstance(image, Image) and regions is None:
            presented = self._selection.presented(image, instance.sop_instance_uid)
        for frame_index in chosen:
            shown = presented if presented is not None and presented.covers(frame_index) else image
            while len(self._pending) >= self._workers + _IN_FLIGHT_BEYOND_WORKERS:
                self._finish_oldest()
            record = Record(
                series,
                instance,
                frame_index + 1,
                image.frame_count,
                slice_position_mm=_position(image, instance, frame_index),
                geometry=shown.geometry(frame_index),
                columns=shown.columns,
                rows=shown.rows,
                video=video,
                grid=image.pixel_grid(frame_index) if isinstance(image, Image) else None,
                as_stored=shown is image,
            )
            outlined = segmentation if shown is image else None
            self._pending.append((record, self._begin(shown, frame_index, regions, outlined, executor)))

    def _begin(
        self,
        image: Pictured,
        frame_index: int,
        regions: Regions,
        segmentation: Segmentation | None,
        executor: ThreadPoolExecutor,
    ) -> Future[_Outcome] | _Outcome:
        """What is passed on as it is takes no worker: that would cost more than the frame."""
        if segmentation is not None and isinstance(image, Image):
            return executor.submit(_encode_segments, image, frame_index, self._layout, segmentation)
        passed = None
        if self._layout and regions is None and isinstance(image, Image):
            passed = _pass_on(image, frame_index)
        return passed or executor.submit(_encode_frame, image, frame_index, self._layout, regions)

    def _file(self, dataset: Dataset) -> tuple[SeriesAttributes, InstanceAttributes]:
        """The instance's attributes, counted under its series. Raises `BadAnswer` for another study.

        Attributes of the study and of a series are those of its first instance.
        """
        with quiet():
            study_instance_uid = attributes.text(dataset, "StudyInstanceUID")
            series_instance_uid = attributes.text(dataset, "SeriesInstanceUID")
        if study_instance_uid not in ("", self._study_instance_uid):
            raise BadAnswer("the source sent an instance of another study than the one asked for")
        collected, anonymize = self._collected, self._options.anonymize
        if collected.study is None:
            study = StudyAttributes.from_dataset(dataset)
            collected.study = study.anonymous() if anonymize else study
        tally = collected.series.get(series_instance_uid)
        if tally is None:
            series = SeriesAttributes.from_dataset(dataset)
            tally = SeriesTally(series.anonymous() if anonymize else series)
            collected.series[series_instance_uid] = tally
        instance = InstanceAttributes.from_dataset(dataset)
        tally.received += 1
        return tally.attributes, instance

    def _finish_oldest(self) -> None:
        """Wait for the frame that was submitted first, and write its image."""
        collected = self._collected
        record, begun = self._pending.popleft()
        outcome = begun.result() if isinstance(begun, Future) else begun
        if isinstance(outcome, PonteError):
            self._miss_frame(record, outcome)
        else:
            self._write(record, outcome)
            if record.video is not None:
                self._miss(record.series, record.instance, record.video.only_poster(), None, video=True)
        if self._on_progress is not None:
            self._on_progress(Progress(collected.instances, len(collected.records) + len(self._segments)))

    def _write(self, record: Record, encoded: _Encoded) -> None:
        collected, image = self._collected, encoded.image
        if self._options.anonymize:
            image = replace(image, icc_profile=None)  # a profile may hold text that people wrote
        collected.clock.decode += encoded.decode_seconds
        collected.clock.encode += encoded.encode_seconds
        collected.shown += 1
        collected.series[record.series.series_instance_uid].shown += 1
        record = replace(record, window=encoded.picture.window, notes=encoded.picture.notes)
        if encoded.segmented and self._segments.keep(record, image, encoded.segmented):
            return
        began = perf_counter()
        handle = self._images.add(image)
        collected.clock.write += perf_counter() - began
        collected.records.append(replace(record, image=handle))

    def _miss_frame(self, record: Record, error: PonteError) -> None:
        """A frame that could not be had: a page in its place."""
        is_video = record.video is not None
        frame_number = record.frame_number if record.frame_count > 1 and not is_video else None
        self._miss(record.series, record.instance, error, frame_number, video=is_video)
        self._collected.records.append(replace(record, reason=error.code, detail=self._detail(error)))

    def _miss_instance(
        self, series: SeriesAttributes, instance: InstanceAttributes, error: PonteError
    ) -> None:
        """No image at all; a page in its place unless it never was one."""
        self._miss(series, instance, error, None)
        if error.code != "NOT_AN_IMAGE":
            page = Record(series, instance, 1, 1, reason=error.code, detail=self._detail(error))
            self._collected.records.append(page)

    def _miss_unreadable(self, error: PonteError) -> None:
        """What cannot be read belongs to no series: its page comes last."""
        self._miss(NO_SERIES, _NO_INSTANCE, error, None)
        page = Record(NO_SERIES, _NO_INSTANCE, 1, 1, reason=error.code, detail=self._detail(error))
        self._collected.records.append(page)

    def _miss(
        self,
        series: SeriesAttributes,
        instance: InstanceAttributes,
        error: PonteError,
        frame_number: int | None,
        *,
        video: bool = False,
    ) -> None:
        if series is not NO_SERIES:
            self._collected.series[series.series_instance_uid].not_shown += 1
        not_shown = NotShown(instance.sop_instance_uid, error.code, error.detail, frame_number)
        self._collected.missing.append(Missing(series, instance, not_shown, video))

    def _detail(self, error: PonteError) -> str:
        """What the page may say: a detail can quote a value of the dataset, so not when anonymous."""
        return "" if self._options.anonymize else error.detail
