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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this installation."""
    if not decoders:
        raise InvalidRequest("nothing to check: expected --decoders")
    from ponte.selftest import check_decoders

    results = check_decoders()
    sound = all(result.status == "ok" for result in results)
    if as_json:
        print_json({"decoders": [asdict(result) for result in results], "ok": sound})
    else:
        _print_table(results)
    raise typer.Exit(ExitCode.ALL if sound else ExitCode.PARTIAL)


def _print_table(results: Sequence[DecoderResult]) -> None:
    """One line a transfer syntax."""
    uid_width = max(len(result.transfer_syntax_uid) for result in results)
    for result in results:
        columns = f"{result.transfer_syntax_uid:<{uid_width}}  {result.decoder:<11}  {result.name}"
        print_line(f"{result.status:<7}  {columns}" + (f": {result.detail}" if result.detail else ""))
