"""`ponte dashboard`: the edge box's web page, and the hash of a password for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from cli.output import ExitCode, print_error, print_line
from cli.router.app import ConfigOption, EnvOption
from ponte.errors import InvalidRequest

app = typer.Typer(name="dashboard", help="The edge box's web page.", invoke_without_command=True)


@app.callback()
def run(context: typer.Context, config: ConfigOption = None, env_file: EnvOption = Path(".env")) -> None:
    """Show the router's box on a web page, until SIGTERM."""
    if context.invoked_subcommand is not None:
        return
    from dashboard.config import read
    from dashboard.serve import serve
    from router.configfile import BadConfiguration

    try:
        found = read(config, os.environ, env_file=env_file)
    except BadConfiguration as error:
        for problem in error.problems:
            print_error(problem)
        raise typer.Exit(ExitCode.USAGE) from error
    for warning in found.warnings():
        print_error(f"warning: {warning}")
    serve(found, said=print_error)


@app.command("password")
def password() -> None:
    """Make the hash of a password, for DASHBOARD_PASSWORD_HASH or DASHBOARD_VIEWER_PASSWORD_HASH.

    It is asked for on a terminal, and read from standard input otherwise.
    """
    from dashboard.passwords import SHORTEST, hashed

    if sys.stdin.isatty():
        found = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        found = sys.stdin.readline().rstrip("\r\n")
    if len(found) < SHORTEST:
        raise InvalidRequest(f"the password has {len(found)} characters; expected {SHORTEST} at least")
    print_line(hashed(found))
