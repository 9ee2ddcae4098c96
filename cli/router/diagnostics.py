"""`ponte router diagnostics`: the support bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.output import print_error, print_line, whole_file
from cli.router.app import ConfigOption, EnvOption, router


@router.command("diagnostics")
def diagnostics(
    output: Annotated[Path, typer.Option("--output", "-o", help="The ZIP to write.")],
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
) -> None:
    """Write what support needs into one ZIP: no patient data, no passwords."""
    from doctor.bundle import write_bundle
    from doctor.gather import gather

    box = gather(config, os.environ, env_file)
    for problem in box.problems:
        print_error(problem)
    with whole_file(output) as stream:
        members = write_bundle(stream, box)
    for member in members:
        notes = [*(["cut off"] if member.truncated else []), *([member.problem] if member.problem else [])]
        print_line(f"{member.size_bytes:>10}  {member.name}" + (f"  ({', '.join(notes)})" if notes else ""))
