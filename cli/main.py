"""The `ponte` command. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import (
    check,
    classify,
    dashboard,
    demo,
    doctor,
    ingest,
    preview,
    quarantine,
    render,
    router,
    stack,
    watch,
)
from cli.output import ExitCode, print_error, print_line
from cli.sources import SeveralStudies
from ponte.errors import InvalidRequest, PonteError

app = typer.Typer(
    name="ponte",
    help="Medical images from where they are made to where they are needed.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("status")(stack.status)
app.command("render")(render.render)
app.command("preview")(preview.preview)
app.command("check")(check.check)
app.command("ingest")(ingest.ingest)
app.command("classify")(classify.classify)
app.add_typer(quarantine.app)
app.command("watch")(watch.watch)
app.command("doctor")(doctor.doctor)
app.add_typer(router.router, name="router")
app.add_typer(dashboard.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from render.version import PRODUCT

        print_line(PRODUCT)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Medical images from where they are made to where they are needed."""


def main() -> None:
    """Run the command line and exit: 0 all done, 1 in part, 2 bad usage, 3 nothing done."""
    try:
        app()
    except SeveralStudies as error:
        sys.stderr.write(f"ponte: {error.detail}\n")
        sys.exit(ExitCode.USAGE)
    except InvalidRequest as error:
        print_error(error.detail)
        sys.exit(ExitCode.USAGE)
    except PonteError as error:
        print_error(f"{error.code}: {error.detail}")
        sys.exit(ExitCode.NOTHING)
    except OSError as error:
        print_error(f"{error.filename or 'input or output'}: {error.strerror}")
        sys.exit(ExitCode.NOTHING)


if __name__ == "__main__":
    main()
