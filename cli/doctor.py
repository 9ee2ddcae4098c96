"""`ponte doctor`: is what is needed there, and does it work?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import ExitCode, print_json, print_line
from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from ponte.selftest import DecoderResult


def doctor(
    decoders: Annotated[
        bool, typer.Option("--decoders", help="Decode a sample of every transfer syntax.")
    ] = False,
    fonts: Annotated[bool, typer.Option("--fonts", help="Look for the fonts that documents embed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this installation."""
    if not decoders and not fonts:
        raise InvalidRequest("nothing to check: expected --decoders, --fonts or both")
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
