"""`ponte check`: a verdict for each file, folder or ZIP, before anything is sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import ExitCode, print_json, print_line
from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from ponte.scan import Verdict

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A file, or a member of a ZIP behind the path of the ZIP."""

    path: str
    verdict: Verdict


def check(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders and ZIPs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say of each instance whether it is whole and sound, and if not, why."""
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise InvalidRequest(f"{path} does not exist")
    files, accepted, quarantined = [], 0, 0
    for checked in _check_all(paths):
        accepted += checked.verdict.accepted
        quarantined += not checked.verdict.accepted
        if as_json:
            files.append(_as_object(checked))
        else:
            _print_verdict(checked)
    if as_json:
        print_json({"files": files, "accepted": accepted, "quarantined": quarantined})
    else:
        print_line(f"{accepted} accepted, {quarantined} quarantined")
    raise typer.Exit(_exit_code(accepted, quarantined))


def _exit_code(accepted: int, quarantined: int) -> ExitCode:
    if quarantined:
        return ExitCode.PARTIAL
    return ExitCode.ALL if accepted else ExitCode.NOTHING


def _check_all(paths: Iterable[Path]) -> Iterator[Checked]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for file in _files(path):
                yield from _check_file(file)
        else:
            yield from _check_file(path)


def _files(folder: Path) -> Iterator[Path]:
    """All that is below the folder and is no folder, in the order of the paths; and folders that are shut."""
    shut: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=shut.append, followlinks=False):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(parent, name)
    yield from (Path(error.filename) for error in shut)


def _check_file(path: Path) -> Iterator[Checked]:
    from ponte.archive import is_archive
    from ponte.archiving.member import without_litter
    from ponte.archiving.names import irregular
    from ponte.scan import Verdict, scan

    skipped = irregular(path.lstat().st_mode)
    if skipped:
        yield Checked(str(path), Verdict.refused(skipped, "Not a regular file"))
        return
    try:
        with path.open("rb") as stream:
            head = stream.read(_PIECE)
            if path.suffix.lower() == ".zip" or is_archive(head):
                yield from _check_archive(path)
                return
            stream.seek(0)
            verdict = scan(iter(lambda: stream.read(_PIECE), b""))
    except OSError as error:
        verdict = Verdict.refused("NOT_REGULAR", f"It cannot be read: {error.strerror}")
    yield Checked(str(path), without_litter(verdict, path.name))


def _check_archive(path: Path) -> Iterator[Checked]:
    """Each member; the archive itself where nothing of it may be read."""
    from ponte.archive import Archive
    from ponte.errors import PonteError
    from ponte.scan import Verdict

    with path.open("rb") as stream:
        try:
            archive = Archive(stream)
        except PonteError as error:
            yield Checked(str(path), Verdict.refused(error.code, error.detail))
            return
        for member in archive.members():
            yield Checked(f"{path}/{member.name}", member.scan())


def _as_object(checked: Checked) -> dict[str, Any]:
    verdict = checked.verdict
    return {
        "path": checked.path.encode(errors="surrogateescape").decode(errors="replace"),
        "verdict": _word(verdict),
        "reason": verdict.reason,
        "detail": verdict.detail,
        "notes": list(verdict.notes),
        "sop_class_uid": verdict.sop_class_uid,
        "sop_instance_uid": verdict.sop_instance_uid,
        "transfer_syntax_uid": verdict.transfer_syntax_uid,
        "sha256": verdict.sha256,
    }


def _word(verdict: Verdict) -> str:
    return "accepted" if verdict.accepted else "quarantined"


def _print_verdict(checked: Checked) -> None:
    verdict = checked.verdict
    notes = "".join(f"  {note}" for note in verdict.notes)
    said = f": {verdict.reason}: {verdict.detail}" if verdict.reason else notes
    path = "".join(c if c.isprintable() else "_" for c in checked.path)
    print_line(f"{_word(verdict):<11}  {path}{said}")
