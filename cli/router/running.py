"""`ponte router run|check-config`."""

from __future__ import annotations

from pathlib import Path

import typer

from cli.output import print_error, print_json, print_line
from cli.router.app import ConfigOption, EnvOption, JsonOption, load, read, router


@router.command("run")
def run(config: ConfigOption = None, env_file: EnvOption = Path(".env")) -> None:
    """Run until SIGTERM; associations that are there then may finish."""
    from router import log
    from router.listen import listen
    from router.memory import share_arenas
    from router.service import Service, end_on_signals

    found = load(config, env_file)
    log.set_up(found.log_level, found.log_path)
    for warning in found.warnings():
        print_error(f"warning: {warning}")
    share_arenas()
    service = Service(found, listen, read_config=lambda: read(config, env_file))
    end_on_signals(service)
    raise typer.Exit(service.run())


@router.command("check-config")
def check_config(
    config: ConfigOption = None, env_file: EnvOption = Path(".env"), as_json: JsonOption = False
) -> None:
    """Say what is set, and what is wrong with it."""
    import yaml

    found = load(config, env_file)
    if as_json:
        print_json({"configuration": found.shown(), "warnings": found.warnings()})
        return
    print_line(yaml.safe_dump(found.shown(), sort_keys=False, allow_unicode=True).rstrip())
    for warning in found.warnings():
        print_error(f"warning: {warning}")
