"""`ponte router quarantine`: what the router did not take, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import quarantine
from cli.output import ExitCode, print_json, print_line
from cli.router.app import ConfigOption, EnvOption, JsonOption, router
from cli.router.control import RootOption, root_of
from ponte.errors import PonteError

app = typer.Typer(name="quarantine", help="What was not taken: look, let go, remove.", no_args_is_help=True)
router.add_typer(app)


@app.command("list")
def list_entries(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """List all entries, the oldest first."""
    quarantine.list_entries(root_of(root, config, env_file), as_json=as_json)


@app.command("show")
def show(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID")],
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one entry."""
    quarantine.show(quarantine_id, root_of(root, config, env_file), as_json=as_json)


@app.command("release")
def release(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Have entries received after all, by the running router: looked at again, forwarded by the same rules.
    What is still refused says why, and stays."""
    where = root_of(root, config, env_file)
    said = [_release(where, one) for one in ids]
    if as_json:
        print_json({"released": said})
    else:
        for one in said:
            print_line(f"{one['id']}  {one['status']}" + (f": {one['detail']}" if one["detail"] else ""))
    done = sum(one["released"] for one in said)
    if done < len(said):
        raise typer.Exit(ExitCode.PARTIAL if done else ExitCode.NOTHING)


@app.command("purge")
def purge(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    older_than: Annotated[str | None, typer.Option("--older-than", help="12h, 30d or 8w.")] = None,
    released: Annotated[bool, typer.Option("--released", help="Only what was released.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove entries for good: by id, by age, or those that were released."""
    quarantine.purge(
        root_of(root, config, env_file), ids=ids, older_than=older_than, released=released, yes=yes,
        as_json=as_json,
    )  # fmt: skip


def _release(where: Path, quarantine_id: str) -> dict[str, Any]:
    """Raises `NotRunning`; what goes wrong with one entry keeps nobody from the next."""
    from router.controlclient import NotRunning, call

    try:
        return {"id": quarantine_id, **call(where, "release", quarantine=quarantine_id)}
    except NotRunning:
        raise
    except PonteError as error:
        detail = f"{error.code}: {error.detail}"
        return {"id": quarantine_id, "released": False, "status": "failed", "detail": detail}
