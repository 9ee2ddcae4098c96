"""`ponte doctor`: is what is needed there, and does it work?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import ExitCode, print_json, print_line
from cli.router.app import ConfigOption, EnvOption, JsonOption, load
from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from doctor.steps import Step
    from ponte.selftest import DecoderResult

_CELL = 44
_MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "skipped"}


def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DESTINATION]...",
            help="Destination or modality of the configuration, `machine`, or an address; all without it.",
        ),
    ] = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    store: Annotated[
        bool, typer.Option("--store", help="Send a marked test object, too, and look for it there.")
    ] = False,
    language: Annotated[
        str, typer.Option("--language", help="pt-BR or en; by default that of the terminal.")
    ] = "",
    decoders: Annotated[
        bool, typer.Option("--decoders", help="Decode a sample of every transfer syntax.")
    ] = False,
    fonts: Annotated[bool, typer.Option("--fonts", help="Look for the fonts that documents embed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the ways to modalities and destinations, this machine, or this installation."""
    if decoders or fonts:
        _check_installation(decoders=decoders, fonts=fonts, as_json=as_json)
    else:
        _check_network(load(config, env_file), names or [], store, _language(language), as_json)


def _language(wanted: str) -> str:
    from doctor.words import LANGUAGES

    if wanted and wanted not in LANGUAGES:
        raise InvalidRequest(f"--language is {wanted}; expected one of {', '.join(LANGUAGES)}")
    names = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    terminal = next((name for name in names if name), "")
    return wanted or ("pt-BR" if terminal.startswith("pt") else "en")


def _check_network(config: Any, names: Sequence[str], store: bool, language: str, as_json: bool) -> None:
    from doctor.plan import subjects
    from doctor.report import report
    from doctor.steps import examine

    chosen = subjects(config, names, stores=store)
    steps: list[Step] = []
    for step in examine(chosen):
        steps.append(step)
        if not as_json:
            _print_step(step, language)
    found = report(chosen, steps)
    if as_json:
        print_json(found)
    raise typer.Exit(ExitCode.ALL if found["ok"] else ExitCode.PARTIAL)


def _print_step(step: Step, language: str) -> None:
    from doctor.steps import words
    from doctor.words import say

    found, title = step.found, say(f"step.{step.name}", language)
    print_line(f"{_MARKS[found.state]:<8} {step.subject.name}: {title}: {words(found.said, language)}")
    if found.table is not None and found.state != "ok":
        _print_rows([[say(cell, language) for cell in row.cells] for row in found.table.rows])
    if found.advice:
        print_line(f"         -> {words(found.advice, language)}")


def _print_rows(rows: Iterable[Sequence[str]]) -> None:
    for row in rows:
        print_line("         | " + "  ".join(f"{cell[:_CELL]:<{_CELL}}" for cell in row).rstrip())


def _check_installation(*, decoders: bool, fonts: bool, as_json: bool) -> None:
    results = _decoders() if decoders else []
    sources = _fonts() if fonts else []
    sound = all(result.status == "ok" for result in results) and bool(sources or not fonts)
    if as_json:
        found = {"decoders": [asdict(result) for result in results]} if decoders else {}
        print_json({**found, **({"fonts": sources} if fonts else {}), "ok": sound})
    elif decoders:
        _print_table(results)
    if fonts and not as_json:
        _print_fonts(sources)
    raise typer.Exit(ExitCode.ALL if sound else ExitCode.PARTIAL)


def _decoders() -> list[DecoderResult]:
    from ponte.selftest import check_decoders

    return list(check_decoders())


def _fonts() -> list[dict[str, str]]:
    """Packages, versions and licences of the fonts; none where none are installed."""
    from render.fonts.library import installed

    library = installed()
    return library.sources if library else []


def _print_fonts(sources: Sequence[dict[str, str]]) -> None:
    for source in sources:
        print_line(f"ok       {source['package']} {source['version']} ({source['licence']})")
    if not sources:
        print_line("missing  fonts: other scripts than Latin are drawn as a substitute, and no PDF/A is made")


def _print_table(results: Sequence[DecoderResult]) -> None:
    """One line a transfer syntax."""
    uid_width = max(len(result.transfer_syntax_uid) for result in results)
    for result in results:
        columns = f"{result.transfer_syntax_uid:<{uid_width}}  {result.decoder:<11}  {result.name}"
        print_line(f"{result.status:<7}  {columns}" + (f": {result.detail}" if result.detail else ""))
