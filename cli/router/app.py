"""The `ponte router` group, and the options that several of its commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import ExitCode, print_error

if TYPE_CHECKING:
    from router.config import RouterConfig

router = typer.Typer(help="Receive what modalities send, keep it safe, send it on.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="ROUTER_CONFIG",
        exists=True,
        dir_okay=False,
        help="YAML with what `.env` does not set.",
    ),
]
EnvOption = Annotated[Path, typer.Option("--env-file", help="Read before the environment, where it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read(config: Path | None, env_file: Path) -> RouterConfig:
    """The configuration as it is written now. Raises `BadConfiguration`."""
    from router.configfile import load

    return load(config, os.environ, env_file=env_file)


def load(config: Path | None, env_file: Path) -> RouterConfig:
    """The configuration, or exit with all that is wrong with it."""
    from router.configfile import BadConfiguration

    try:
        return read(config, env_file)
    except BadConfiguration as error:
        for problem in error.problems:
            print_error(problem)
        raise typer.Exit(ExitCode.USAGE) from error
