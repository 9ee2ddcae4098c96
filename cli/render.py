"""`ponte render`: a study becomes a PDF, without AWS and without the stack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.output import ExitCode, print_json, print_line, whole_file
from cli.sources import choose_study, open_source

if TYPE_CHECKING:
    from cli.filing import Filed
    from render.report import Progress, RenderReport

_LISTED = 20


def render(
    source: Annotated[
        str, typer.Argument(help="DICOMweb address (also .../studies/UID), folder, ZIP or file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PDF to write.")],
    study: Annotated[
        str | None, typer.Option(help="Study Instance UID; needed where there are several.")
    ] = None,
    anonymize: Annotated[bool, typer.Option("--anonymize", help="Leave all patient data out.")] = False,
    cover: Annotated[bool, typer.Option("--cover/--no-cover", help="Begin with a cover page.")] = True,
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep all levels and pixels.")] = False,
    grid: Annotated[str, typer.Option(help="Images on a page, rows x columns: 1x1 to 6x6.")] = "1x1",
    paper: Annotated[Literal["A4", "letter", "fit"], typer.Option(help="Size of the pages.")] = "A4",
    series: Annotated[
        list[str] | None, typer.Option(help="Only this series, by number or UID; may be repeated.")
    ] = None,
    frames: Annotated[
        int, typer.Option(min=0, help="So many frames of each multi-frame image, evenly spread; 0: all.")
    ] = 0,
    every: Annotated[int, typer.Option(min=1, help="Only one instance of so many.")] = 1,
    max_pages: Annotated[int, typer.Option(min=0, help="End after so many pages of images; 0: none.")] = 0,
    key_images: Annotated[
        bool, typer.Option("--key-images", help="Only what the study's key objects refer to.")
    ] = False,
    presentation: Annotated[
        bool, typer.Option("--presentation", help="Show images as the study's presentation states say.")
    ] = False,
    max_bytes: Annotated[
        int, typer.Option(min=0, help="Make images smaller until the PDF keeps within this; 0: no limit.")
    ] = 0,
    logo: Annotated[
        Path | None,
        typer.Option(help="The clinic's logo for the cover: PNG or JPEG.", exists=True),
    ] = None,
    colour: Annotated[str, typer.Option(help="The clinic's colour for the cover: #rrggbb.")] = "",
    lang: Annotated[Literal["pt-BR", "en"], typer.Option(help="Language of the PDF.")] = "pt-BR",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Most threads that decode and compress.")] = 4,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            help='JSON: {"type":"bearer","token"}, {"type":"basic","username","password"} or a header.'
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Store the PDF in the study: a DICOMweb address, or `source` for where it came from."
        ),
    ] = None,
    store_auth_file: Annotated[
        Path | None, typer.Option(help="As --auth-file, for the address of --store.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a PDF of a study: a cover, then its images, series by series."""
    from cli.filing import open_filing
    from render.clinic import Clinic
    from render.options import Grid
    from render.study import RenderOptions, render_study

    opened, named = open_source(source, auth_file)
    study_instance_uid = choose_study(opened, study or named)
    options = RenderOptions(
        anonymize=anonymize,
        cover_page=cover,
        lossless=lossless,
        language=lang,
        max_workers=workers,
        grid=Grid.parse(grid),
        paper=paper,
        series=tuple(series or ()),
        frames=frames,
        every=every,
        max_pages=max_pages,
        max_bytes=max_bytes,
        key_images=key_images,
        presentation=presentation,
        clinic=Clinic(logo.read_bytes() if logo else b"", colour),
    )
    filing = open_filing(store, source, auth_file, store_auth_file, options)
    watched = filing.watch(opened) if filing else opened
    with whole_file(output) as stream, _progress() as on_progress:
        report = render_study(watched, study_instance_uid, stream, options, on_progress=on_progress)
    filed = filing.file(output, report) if filing else None
    if as_json:
        print_json(as_object(output, report, filed))
    else:
        _print_summary(output, report)
        if filed:
            print_line(f"  {filed.sentence}")
    failed = report.partial or (filed is not None and not filed.stored)
    raise typer.Exit(ExitCode.PARTIAL if failed else ExitCode.ALL)


def as_object(output: Path, report: RenderReport, filed: Filed | None = None) -> dict[str, Any]:
    """What `--json` prints; `stored` only where that was asked for."""
    rendered = {
        "pdf": str(output),
        "bytes": report.bytes,
        "pages": report.pages,
        "instances": report.instances,
        "frames": report.frames,
        "shown": report.shown,
        "not_shown": [asdict(entry) for entry in report.not_shown],
        "partial": report.partial,
        "seconds": {step: round(value, 3) for step, value in asdict(report.seconds).items()},
        "left_out": report.left_out,
    }
    return rendered | ({"stored": asdict(filed)} if filed else {})


def _print_summary(output: Path, report: RenderReport) -> None:
    size = f"{report.bytes / 1e6:.1f} MB in {report.seconds.total:.1f} s"
    print_line(f"{output}: {report.pages} pages, {report.shown} of {report.frames} images, {size}")
    if report.left_out:
        print_line(f"  left out on request, or as earlier renderings: {report.left_out} images or instances")
    for entry in report.not_shown[:_LISTED]:
        frame = f" frame {entry.frame_number}" if entry.frame_number else ""
        print_line(
            f"  not shown: {entry.sop_instance_uid or 'unreadable'}{frame}: {entry.reason}: {entry.detail}"
        )
    if len(report.not_shown) > _LISTED:
        print_line(f"  and {len(report.not_shown) - _LISTED} more")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    """A line that counts, on standard error and only on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rendering", total=None)

        def show(progress: Progress) -> None:
            text = f"{progress.instances} instances, {progress.frames} images"
            bar.update(task, description=text, completed=progress.instances, total=progress.total)

        yield show
