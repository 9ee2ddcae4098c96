"""`ponte router install|backup|restore|upgrade`: the edge box onto a machine, and its contents off it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from cli.output import ExitCode, print_error, print_json, print_line, whole_file
from cli.router.app import ConfigOption, EnvOption, JsonOption, load, router
from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from installer.layout import Layout
    from installer.plan import Plan

_ASKED: Final = {
    "HTR_IP": "This machine's address on the modality network",
    "SCP_PORT": "Port that modalities send to",
    "SCP_AET": "Our AE title",
    "TARGET_HOST": "Address of the PACS",
    "TARGET_PORT": "Port of the PACS",
    "TARGET_AET": "AE title of the PACS",
    "DICOM_ROOT": "Folder for images",
}
"""What is asked on a terminal, in this order."""

BackupsOption = Annotated[
    Path | None,
    typer.Option(help="Where backups go (default: /var/backups/ponte, or `backups` beside the settings)."),
]
Setting = Annotated[str | None, typer.Option(show_default=False)]


@router.command("install")
def install(
    htr_ip: Setting = None,
    scp_port: Setting = None,
    scp_second_port: Setting = None,
    ae_title: Setting = None,
    target_host: Setting = None,
    target_port: Setting = None,
    target_ae_title: Setting = None,
    dicom_root: Setting = None,
    timezone: Setting = None,
    language: Setting = None,
    router_config: Setting = None,
    dashboard_host: Annotated[
        str | None, typer.Option(help="Where the page listens (default: everywhere, with its password).")
    ] = None,
    password: Annotated[
        bool, typer.Option("--password/--no-password", help="Make a password for the page.")
    ] = True,
    folder: Annotated[
        Path | None,
        typer.Option(help="Install into this folder, for whoever asks; without root that is where it is."),
    ] = None,
    start: Annotated[bool, typer.Option("--start", help="Enable and start the services.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Remove the services; settings, images and backups stay.")
    ] = False,
) -> None:
    """Write settings, folders, services and a password for the page. What is there is never overwritten."""
    given = {
        "HTR_IP": htr_ip, "SCP_PORT": scp_port, "SCP_SECOND_PORT": scp_second_port, "SCP_AET": ae_title,
        "TARGET_HOST": target_host, "TARGET_PORT": target_port, "TARGET_AET": target_ae_title,
        "DICOM_ROOT": dicom_root, "TZ": timezone, "DASHBOARD_LANGUAGE": language,
        "ROUTER_CONFIG": router_config, "DASHBOARD_HOST": dashboard_host,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    layout = _layout(folder, settings)
    if not (yes or uninstall or dry_run or layout.env_file.exists()) and sys.stdin.isatty():
        settings |= _asked(settings)
        layout = _layout(folder, settings)
    _carry_out(layout, _plan(layout, settings, password=password, uninstall=uninstall), dry_run=dry_run)
    if not (dry_run or uninstall):
        _say_what_is_next(layout, start=start)


def _layout(folder: Path | None, settings: dict[str, str]) -> Layout:
    """The whole machine's for root, unless a folder is named. A `.env` that is there says where the images
    are."""
    from installer.layout import in_folder, on_this_machine
    from installer.variables import known

    root = settings.get("DICOM_ROOT")
    if folder is None and os.geteuid() == 0:
        found = on_this_machine(Path(root or known()["DICOM_ROOT"]))
    else:
        found = in_folder((folder or Path()).absolute(), Path(root).absolute() if root else None)
    return _as_it_is(found)


def _as_it_is(layout: Layout) -> Layout:
    from dataclasses import replace

    from installer.plan import configuration
    from installer.variables import read
    from router.configfile import BadConfiguration

    if not layout.env_file.exists():
        return layout
    try:
        values = read(layout.env_file.read_text(encoding="utf-8"))
        return replace(layout, root=configuration(values).dicom_root)
    except BadConfiguration as error:
        _end(error.problems)


def _plan(layout: Layout, settings: dict[str, str], *, password: bool, uninstall: bool) -> Plan:
    from installer import plan
    from installer.layout import program
    from router.configfile import BadConfiguration

    if uninstall:
        return plan.uninstall(layout)
    try:
        return plan.install(layout, settings, program(), password=password)
    except BadConfiguration as error:
        _end(error.problems)


def _end(problems: list[str]) -> NoReturn:
    for problem in problems:
        print_error(problem)
    raise typer.Exit(ExitCode.USAGE)


def _asked(given: dict[str, str]) -> dict[str, str]:
    """What a person answers to what was not given; Enter takes the default."""
    from installer.variables import known

    defaults = known()
    return {
        name: typer.prompt(f"{question} ({name})", default=defaults[name])
        for name, question in _ASKED.items()
        if name not in given
    }


def _carry_out(layout: Layout, plan: Plan, *, dry_run: bool) -> None:
    said = plan.said()
    for line in said:
        print_line(f"{'would ' if dry_run else ''}{line}")
    if not said:
        print_line("nothing to do")
    if plan.different:
        print_line(f"{layout.env_file} is there and stays as it is. It differs from what was asked for:")
        for line in plan.different:
            print_line(f"  {line}")
    if dry_run:
        return
    try:
        plan.do()
    finally:  # its hash may be written by then
        if plan.password and layout.env_file.exists():
            print_line(f"\nPassword of the page, shown this once: {plan.password}\n")


def _say_what_is_next(layout: Layout, *, start: bool) -> None:
    from installer import steps, units

    if not layout.is_system:
        print_line(f"next: ponte router run --env-file {layout.env_file}")
        return
    if not start:
        print_line(f"next: systemctl enable --now {' '.join(units.NAMES)}")
        return
    steps.run(["systemctl", "enable", "--now", *units.NAMES])
    print_line(f"started: {', '.join(units.NAMES)}")


@router.command("backup")
def backup(
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Default: one named by the time, in backups/.")
    ] = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    folder: BackupsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy all that is kept into one file, while the router runs or not. It holds patients' data and keys."""
    from installer.backup import default_name, make
    from installer.layout import backups_of

    found = load(config, env_file)
    file = target or (folder or backups_of(env_file)) / default_name()
    contents = make(
        found, file, configuration=[path for path in (env_file, config) if path and path.exists()]
    )
    if as_json:
        print_json({"file": str(file), **contents.as_json()})
        return
    print_line(f"{file} ({file.stat().st_size} bytes)")
    for line in contents.lines():
        print_line(f"  {line}")


@router.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    root: Annotated[Path, typer.Option("--root", help="The empty DICOM_ROOT that it becomes.")],
    configuration: Annotated[
        Path | None,
        typer.Option(help="Put settings and certificates into this folder; nothing is overwritten."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a DICOM_ROOT of a backup: every digest is compared before anything counts."""
    from installer.restore import restore as put_back

    contents = put_back(source, root.absolute(), configuration)
    if as_json:
        print_json({"root": str(root), **contents.as_json()})
        return
    print_line(f"{root}: restored; a router may start on it")
    for line in contents.lines():
        print_line(f"  {line}")


@router.command("upgrade")
def upgrade(
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    folder: BackupsOption = None,
    rows_only: Annotated[
        bool, typer.Option("--rows-only", help="No backup of the images: a copy of the rows, beside them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """After a new version was installed, with the router stopped: back up, then bring the rows up to it."""
    from installer.layout import backups_of
    from installer.upgrade import upgrade as bring_up

    found = load(config, env_file)
    given = [path for path in (env_file, config) if path and path.exists()]
    folder = folder or backups_of(env_file)
    done = bring_up(found, folder, configuration=given, with_backup=not rows_only)
    if as_json:
        backup, rows = (str(path) if path else None for path in (done.backup, done.rows))
        print_json({"from": done.before, "to": done.after, "backup": backup, "rows": rows})
    elif done.rows is None:
        print_line(f"schema {done.after}: nothing to do")
    else:
        print_line(f"schema {done.before} -> {done.after}; the rows as they were: {done.rows}")
        print_line(f"backup: {done.backup or 'none'}")


@router.command("card")
def card(
    out: Annotated[Path, typer.Option("-o", "--output", help="The PDF to write.")] = Path("ponte.pdf"),
    language: Annotated[str, typer.Option("--lang", help="pt-BR or en.")] = "pt-BR",
    page: Annotated[str, typer.Option(help="Address of the page, as people type it.")] = "",
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
) -> None:
    """The quick reference card, one A4 page with this box's own addresses."""
    from installer.card import draw_card
    from installer.card_texts import LANGUAGES

    chosen = next((one for one in LANGUAGES if one == language), None)
    if chosen is None:
        raise InvalidRequest(f"--lang is {language!r:.20}; expected one of {', '.join(LANGUAGES)}")
    found = load(config, env_file)
    with whole_file(out) as stream:
        draw_card(found, page, chosen, stream)
    print_line(str(out))
