"""`ponte router`: the edge box."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import ExitCode, print_error, print_json, print_line

if TYPE_CHECKING:
    from router.config import RouterConfig

router = typer.Typer(help="Receive what modalities send, keep it safe, send it on.", no_args_is_help=True)


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", exists=True, dir_okay=False, help="YAML with what `.env` does not set."),
]
EnvOption = Annotated[Path, typer.Option("--env-file", help="Read before the environment, where it exists.")]


@router.command("run")
def run(config: ConfigOption = None, env_file: EnvOption = Path(".env")) -> None:
    """Run until SIGTERM; associations that are there then may finish."""
    from router import log
    from router.listen import listen
    from router.service import Service, end_on_signals

    found = _load(config, env_file)
    log.set_up(found.log_level)
    for warning in found.warnings():
        print_error(f"warning: {warning}")
    service = Service(found, listen)
    end_on_signals(service)
    service.run()


@router.command("check-config")
def check_config(
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is set, and what is wrong with it."""
    import yaml

    found = _load(config, env_file)
    if as_json:
        print_json({"configuration": found.shown(), "warnings": found.warnings()})
        return
    print_line(yaml.safe_dump(found.shown(), sort_keys=False, allow_unicode=True).rstrip())
    for warning in found.warnings():
        print_error(f"warning: {warning}")


def _load(config: Path | None, env_file: Path) -> RouterConfig:
    from router.configfile import BadConfiguration, load

    try:
        return load(config, os.environ, env_file=env_file)
    except BadConfiguration as error:
        for problem in error.problems:
            print_error(problem)
        raise typer.Exit(ExitCode.USAGE) from error
