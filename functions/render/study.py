"""A study becomes a PDF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import BinaryIO

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.errors import NothingToShow, StudyNotFound
from ponte.quiet import quiet
from ponte.source import Source
from ponte.study import StudyAttributes
from render.allocator import keep_freed_memory
from render.collect import Collected, Collector, DrawDocument, Missing
from render.cover import Cover, Logo, MissingRow, draw_cover
from render.identity import content_of, sources_of
from render.images import ImageStore, SpooledImages, WrittenImages
from render.layout import Layout, Page
from render.options import RenderOptions, RequestCodes
from render.pages import ACCENT, PageFrame
from render.pdf import DocumentInfo, PdfWriter
from render.record import NO_SERIES, Record, SeriesTally, series_title
from render.report import NotShown, Progress, RenderReport, Seconds
from render.selection import select
from render.sheet import Document, Sheet
from render.texts import TEXTS, Texts
from render.version import PRODUCT

__all__ = [
    "NotShown",
    "Progress",
    "RenderOptions",
    "RenderReport",
    "RequestCodes",
    "Seconds",
    "render_study",
]


def render_study(
    source: Source,
    study_instance_uid: str,
    out: BinaryIO,
    options: RenderOptions,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> RenderReport:
    """Write the study as a PDF into `out`, which needs only `write`.

    One frame is one page, and so is one video; a frame that cannot be shown has a page that says why. Raises
    `StudyNotFound`, `NothingToShow` when not one image could be put on a page and no video described, and
    whatever the source raises, also in the middle: after an error `out` holds no document that a reader
    would open.
    """
    began = perf_counter()
    keep_freed_memory()
    selection = select(source, study_instance_uid, options)
    writer = PdfWriter(out)
    with _store(writer, options) as images:
        draw = _document_drawer(writer, options)
        collected = Collector(images, study_instance_uid, options, selection, draw, on_progress).run(source)
        _require_something(collected)
        writing = perf_counter()
        _write_document(writer, images, collected, options)
    ended = perf_counter()
    clock = collected.clock
    write = clock.write + ended - writing
    not_shown = tuple(missing.not_shown for missing in collected.missing)
    return RenderReport(
        pages=writer.page_count,
        instances=collected.instances,
        frames=collected.frames,
        shown=collected.shown,
        not_shown=not_shown,
        bytes=writer.size_bytes,
        seconds=Seconds(clock.fetch, clock.decode, clock.encode, write, ended - began),
        left_out=collected.left_out,
        documents=collected.documents,
        content=content_of(collected.records, not_shown, options),
        sources=sources_of(collected.records),
    )


def _document_drawer(writer: PdfWriter, options: RenderOptions) -> DrawDocument:
    """What draws instances that are not images into this document."""

    def draw(dataset: Dataset) -> Document | None:
        from render.documents import drawer_of

        with quiet():
            sop_class_uid = attributes.text(dataset, "SOPClassUID")
        drawer = drawer_of(sop_class_uid)
        return drawer(dataset, writer, TEXTS[options.language], anonymize=options.anonymize)

    return draw


@contextmanager
def _store(writer: PdfWriter, options: RenderOptions) -> Iterator[ImageStore]:
    """Where images go. They wait in a file only where it is not known yet which are wanted, or how large."""
    if not options.max_bytes and not options.max_pages:
        yield WrittenImages(writer)
        return
    with SpooledImages(writer, options.max_bytes) as images:
        yield images
        images.check()


def _require_something(collected: Collected) -> None:
    """Raise unless at least one image has its page, or one video a page that says what it is."""
    if not collected.instances:
        raise StudyNotFound("the source has no instance of this study")
    if not (collected.shown or collected.documents or any(record.video for record in collected.records)):
        reasons = Counter(missing.not_shown.reason for missing in collected.missing)
        listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(5))
        code = reasons.most_common(1)[0][0] if reasons else None
        raise NothingToShow(
            f"none of {collected.instances} instances could be shown: {listed or 'no frames'}", code=code
        )


def _write_document(
    writer: PdfWriter, images: ImageStore, collected: Collected, options: RenderOptions
) -> None:
    """Write cover, pages in reading order, bookmarks and what holds them together."""
    texts = TEXTS[options.language]
    created = datetime.now(UTC).astimezone()
    study = collected.study or StudyAttributes()
    records = sorted(collected.records, key=lambda record: record.order)
    pages = _within(Layout(options.grid, options.paper).pages(records), options.max_pages, collected)
    images.choose(_handles(pages), len(pages))
    sheets: Sequence[Sheet] = ()
    if options.cover_page:
        logo = options.clinic.picture()
        number = writer.add_image(logo) if logo is not None else 0
        cover = _cover(collected, study, options, texts, created, reduced=images.reduced)
        if logo is not None:
            cover = replace(cover, logo=Logo(number, logo.columns, logo.rows))
        sheets = draw_cover(cover, pages, images, texts)
    for index, sheet in enumerate(sheets):
        page = writer.add_page(sheet.canvas, sheet.size, sheet.resources)
        if index == 0:
            writer.add_bookmark(texts.title, page)
    frame = PageFrame(study, texts, len(sheets) + len(pages))
    _write_pages(writer, images, pages, frame, len(sheets) + 1)
    title = _document_title(study, options.anonymize, texts)
    writer.finish(DocumentInfo(title, PRODUCT, options.language, created))


def _handles(pages: Iterable[Page]) -> Iterator[int]:
    """The images on the pages, and what is laid over them."""
    for record in (cell.record for page in pages for cell in page.cells):
        handles = (record.image, *(overlay.image for overlay in record.overlays))
        yield from (handle for handle in handles if handle is not None)


def _within(pages: list[Page], most: int, collected: Collected) -> list[Page]:
    """The first of the pages; images on others, and documents that end there, are left out and counted."""
    if not most or len(pages) <= most:
        return pages
    kept = {id(cell.record) for page in pages[:most] for cell in page.cells}
    beyond = {id(cell.record): cell.record for page in pages[most:] for cell in page.cells}
    for name, record in beyond.items():
        if record.document is not None:
            collected.documents, count = collected.documents - 1, 1
        elif record.image is not None and name not in kept:
            count = len(record.frames) or 1
            collected.shown -= count
        else:
            continue
        tally = collected.series[record.series.series_instance_uid]
        tally.shown, tally.left_out = tally.shown - count, tally.left_out + count
        collected.left_out += count
    collected.records = [record for record in collected.records if id(record) in kept or record.reason]
    return pages[:most]


def _write_pages(
    writer: PdfWriter, images: ImageStore, pages: Sequence[Page], frame: PageFrame, first: int
) -> None:
    """Write the pages, with a bookmark where a series begins."""
    begun = set[str]()
    for number, page in enumerate(pages, start=first):
        canvas, resources = frame.draw(page, number, images)
        written = writer.add_page(canvas, page.size, resources)
        series_instance_uid = page.first.series.series_instance_uid
        if page.hung:
            writer.add_bookmark(frame.texts.hung, written)
        elif series_instance_uid not in begun:
            begun.add(series_instance_uid)
            writer.add_bookmark(_bookmark(page.first, frame.texts), written)


def _bookmark(record: Record, texts: Texts) -> str:
    """`Series 3 (CT): Chest`; only number and modality where the study is anonymous."""
    if record.unreadable:
        return texts.unreadable
    title = series_title(record.series, texts)
    return f"{title}: {record.series.series_description}" if record.series.series_description else title


def _document_title(study: StudyAttributes, anonymous: bool, texts: Texts) -> str:
    """What readers show in the window's title."""
    if anonymous:
        return texts.title
    parts = (study.patient_name, study.study_description, texts.date(study.study_date))
    return " · ".join(part for part in parts if part) or texts.title


def _cover(
    collected: Collected,
    study: StudyAttributes,
    options: RenderOptions,
    texts: Texts,
    created: datetime,
    *,
    reduced: bool,
) -> Cover:
    tallies = sorted(
        collected.series.values(),
        key=lambda tally: (
            tally.attributes.series_number is None,
            tally.attributes.series_number or 0,
            tally.attributes.series_instance_uid,
        ),
    )
    unreadable = sum(missing.series is NO_SERIES for missing in collected.missing)
    if unreadable:
        named = replace(NO_SERIES, series_description=texts.unreadable)
        tallies.append(SeriesTally(named, received=unreadable, not_shown=unreadable))
    missing = [_missing_row(entry, options.anonymize, texts) for entry in collected.missing]
    codes = RequestCodes() if options.anonymize else options.codes
    return Cover(
        study,
        options.anonymize,
        codes,
        tallies,
        missing,
        created,
        left_out=collected.left_out,
        reduced=reduced,
        job_url="" if options.anonymize else options.job_url,
        accent=options.clinic.accent(ACCENT),
    )


def _missing_row(missing: Missing, anonymous: bool, texts: Texts) -> MissingRow:
    """Where it belongs, and why it is not there."""
    series, instance, what = missing.series, missing.instance, missing.not_shown
    parts = [texts.unreadable if series is NO_SERIES else series_title(series, texts)]
    if instance.instance_number is not None:
        parts.append(texts.instance.format(instance.instance_number))
    if what.frame_number is not None:
        parts.append(texts.frame_alone.format(what.frame_number))
    detail = "" if anonymous else what.detail
    return MissingRow(" · ".join(parts), what.reason, detail, missing.video)
