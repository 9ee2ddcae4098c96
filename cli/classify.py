"""`ponte classify`: chest radiographs through a model of yours, as JSON and as structured reports."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.output import ExitCode, print_json, print_line, whole_file
from cli.sources import is_address, open_source, split_study
from ponte.errors import InvalidRequest, PonteError

if TYPE_CHECKING:
    from classify.model import Model
    from classify.triage import Options, Result
    from ponte.destination import Destination, Outgoing
    from ponte.source import Fetched

SOURCE = "source"
_MODALITIES = ("CR", "DX")
_NEEDED = ("highdicom", "onnxruntime")
_HEAD = 4096  # bytes that tell a ZIP


@dataclass(frozen=True, slots=True)
class _Found:
    """An instance, or a source that could not be read to its end. `path` is for the one who asked."""

    path: str
    fetched: Fetched | None = None
    error: PonteError | None = None


@dataclass(slots=True)
class _Run:
    """What is done with each image, and what became of all."""

    model: Model
    options: Options
    reports: Path | None
    say: Callable[[str, Result], None]
    images: list[dict[str, Any]] = field(default_factory=list)
    classified: int = 0
    failed: int = 0

    def take(self, found: _Found, destination: Destination | None) -> None:
        from classify.triage import Result, classify

        try:
            if found.fetched is None:
                raise found.error or PonteError("")
            result = classify(found.fetched.read(), self.model, self.options)
        except PonteError as error:
            if error.code == "MODEL_REFUSED":
                raise
            result = Result("failed", reason=error.code, detail=error.detail)
        made = [_deliver(outgoing, self.reports, destination) for outgoing in result.made]
        self.classified += result.verdict == "classified"
        self.failed += result.verdict == "failed"
        self.failed += any(entry["sent"] and not entry["sent"]["stored"] for entry in made)
        self.images.append(
            {"path": _text(found.path), **result.as_json(), "sr": made[0] if made else None, "made": made[1:]}
        )
        self.say(found.path, result)

    @property
    def exit_code(self) -> ExitCode:
        if self.failed:
            return ExitCode.PARTIAL if self.classified else ExitCode.NOTHING
        return ExitCode.ALL if self.classified else ExitCode.NOTHING


def classify(
    sources: Annotated[
        list[str],
        typer.Argument(help="Files, folders, ZIPs, DICOMweb addresses.", metavar="SOURCE..."),
    ],
    model: Annotated[
        str, typer.Option("--model", help="Folder, or s3://bucket/prefix, with manifest.json and the ONNX.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the JSON object to this file.")
    ] = None,
    sr: Annotated[
        Path | None, typer.Option("--sr", help="Folder for the structured reports, one for each image.")
    ] = None,
    send: Annotated[
        str | None,
        typer.Option(help="Send the reports: a destination as that of `ponte ingest`, or `source`."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="Only this study of a source that has several.")] = None,
    sr_class: Annotated[
        Literal["comprehensive3d", "comprehensive", "enhanced"], typer.Option(help="Class of the reports.")
    ] = "comprehensive3d",
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also a saliency picture, where the model gives one.")
    ] = False,
    any_body_part: Annotated[
        bool, typer.Option("--any-body-part", help="Do not ask whether it is a chest.")
    ] = False,
    auth_file: Annotated[
        Path | None, typer.Option(help="Credentials of a DICOMweb source, as those of `ponte render`.")
    ] = None,
    send_auth_file: Annotated[
        Path | None, typer.Option(help="As --auth-file, for the destination of --send.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask your own model about chest radiographs. Not a medical device: unverified machine output."""
    _check_installed()
    from classify.gate import Gate
    from classify.triage import NOTICE, Options, model_json

    opened = _open_model(model)
    _check(sources, send, sr)
    options = Options(Gate(any_body_part=any_body_part), sr_class, overlay)
    with _progress() as advance:
        run = _Run(opened, options, sr, _speaker(advance, quiet=as_json))
        for source in sources:
            destination = _destination(send, source, auth_file, send_auth_file)
            for found in _instances(source, study, auth_file):
                run.take(found, destination)
    value = {"images": run.images, "model": model_json(opened), "notice": NOTICE}
    if output is not None:
        _write_json(output, value)
    if as_json:
        print_json(value)
    else:
        skipped = len(run.images) - run.classified
        print_line(f"{run.classified} classified, {skipped} skipped or failed. {NOTICE}")
    raise typer.Exit(run.exit_code)


def _check_installed() -> None:
    """Raises `InvalidRequest`: an installation without the extra has neither of them."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidRequest(f"{' and '.join(missing)} is not installed: pip install 'ponte[classify]'")


def _open_model(place: str) -> Model:
    from classify.model import open_model

    if not place.startswith("s3://"):
        return open_model(place)
    from ponte_aws import clients

    return open_model(place, clients.s3)


def _check(sources: list[str], send: str | None, sr: Path | None) -> None:
    """Raises `InvalidRequest` before anything is read."""
    for source in sources:
        if not is_address(source) and not Path(source).exists():
            raise InvalidRequest(f"{source} does not exist")
        if send == SOURCE and not is_address(source):
            raise InvalidRequest("--send source is for DICOMweb sources; name the destination")
    if sr is not None:
        if sr.exists() and not sr.is_dir():
            raise InvalidRequest(f"{sr} is not a folder")
        sr.mkdir(parents=True, exist_ok=True)


def _destination(
    send: str | None, source: str, auth_file: Path | None, send_auth_file: Path | None
) -> Destination | None:
    from cli.destinations import open_destination

    if send is None:
        return None
    if send == SOURCE:
        return open_destination(split_study(source)[0], auth_file=auth_file)
    return open_destination(send, auth_file=send_auth_file)


def _instances(source: str, study: str | None, auth_file: Path | None) -> Iterator[_Found]:
    """Every instance of the source once; where it breaks off, that is the last of them."""
    seen: set[str] = set()
    try:
        opened, named = open_source(source, auth_file if is_address(source) else None)
        wanted = study or named
        studies = [wanted] if wanted else _studies(opened)
        if not studies:
            yield _without_study(source)
            return
        for uid in studies:
            for fetched in opened.instances(uid):
                path = _path(source, uid, fetched.origin)
                if path not in seen:  # what cannot be read is handed out with every study
                    seen.add(path)
                    yield _Found(path, fetched)
    except PonteError as error:
        yield _Found(source, error=error)


def _without_study(source: str) -> _Found:
    """A file has its own reason; of anything else there is none but this."""
    from ponte.archive import is_archive
    from ponte.folder import FILE_LIMIT
    from ponte.source import Fetched

    path = Path(source)
    if not is_address(source) and path.is_file() and path.stat().st_size <= FILE_LIMIT:
        data = path.read_bytes()
        if not is_archive(data[:_HEAD]):
            return _Found(source, Fetched(data, source))
    return _Found(source, error=InvalidRequest("Nothing here is of a study", code="NOT_DICOM"))


def _path(source: str, study_instance_uid: str, origin: str) -> str:
    """Where an instance is, for the one who asked."""
    if is_address(source):
        return f"{split_study(source)[0]}/studies/{study_instance_uid}#{origin}"
    path = Path(source)
    return source if path.is_file() and path.name == origin else f"{source}/{origin}"


def _studies(opened: Any) -> list[str]:
    """Of a server those with radiographs, of anything else all."""
    from ponte.dicomweb import DicomWebSource

    if not isinstance(opened, DicomWebSource):
        return list(opened.studies())
    return list(dict.fromkeys(uid for name in _MODALITIES for uid in opened.studies_with(name)))


def _deliver(outgoing: Outgoing, folder: Path | None, destination: Destination | None) -> dict[str, Any]:
    """Write it, send it, and say what became of it."""
    path = None
    if folder is not None:
        path = folder / f"{outgoing.sop_instance_uid}.dcm"
        with whole_file(path) as stream:
            for chunk in outgoing.chunks(outgoing.size_bytes):
                stream.write(chunk)
    return {
        "sop_instance_uid": outgoing.sop_instance_uid,
        "file": str(path) if path else None,
        "sent": _send(outgoing, destination) if destination else None,
    }


def _send(outgoing: Outgoing, destination: Destination) -> dict[str, Any]:
    try:
        outcomes = list(destination.store([outgoing]))
    except PonteError as error:
        return {"stored": False, "status": "failed", "detail": f"{error.code}: {error.detail}"}
    if len(outcomes) != 1:
        return {"stored": False, "status": "unknown", "detail": "The destination did not say"}
    outcome = outcomes[0]
    return {"stored": outcome.stored, "status": outcome.status, "detail": outcome.detail}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    import json

    with whole_file(path) as stream:
        stream.write(json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n")


def _speaker(advance: Callable[[], None], *, quiet: bool) -> Callable[[str, Result], None]:
    def say(path: str, result: Result) -> None:
        advance()
        if quiet:
            return
        shown = "".join(c if c.isprintable() else "_" for c in path)
        if result.verdict != "classified":
            print_line(f"{result.verdict:<10}  {shown}: {result.reason}: {result.detail}")
            return
        reached = [
            f"{finding.label} {finding.score:.2f}" for finding in result.findings if finding.at_threshold
        ]
        print_line(f"{result.verdict:<10}  {shown}: at threshold: {', '.join(reached) or 'none'}")

    return say


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """A bar on standard error, and only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("classifying"),
        BarColumn(),
        TextColumn("{task.completed} images"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("classifying", total=None)
        yield lambda: bar.advance(task)


def _text(path: str) -> str:
    return path.encode(errors="surrogateescape").decode(errors="replace")
