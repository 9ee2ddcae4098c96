"""`ponte router alert-test`."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import typer

from cli.output import ExitCode, print_error, print_line
from cli.router.app import ConfigOption, EnvOption, load, router


@router.command("alert-test")
def alert_test(config: ConfigOption = None, env_file: EnvOption = Path(".env")) -> None:
    """Send a test alert by each channel that is configured; the router need not run."""
    from ponte.errors import PonteError
    from router.alert_channels import open_channels
    from router.alert_notice import TEST, Notice
    from router.alert_texts import letter

    found = load(config, env_file)
    channels = open_channels(found.alerts)
    if not channels:
        print_error("alerts: neither email nor webhook is configured: nobody is told of anything")
        raise typer.Exit(ExitCode.USAGE)
    now = time.time()
    notice = Notice(f"alert_{secrets.token_hex(12)}", TEST, "", "test", now, now)
    zone, alerts = ZoneInfo(found.timezone), found.alerts
    words = letter(notice, language=alerts.language, site=alerts.site, zone=zone)
    taken = failed = 0
    for channel in channels:
        try:
            left = channel.send(notice, words, channel.addressees)
        except PonteError as error:
            print_error(f"{channel.name}: {error.detail} ({error.code})")
            failed += 1
            continue
        taken, failed = taken + 1, failed + len(left)
        for one in left:
            print_error(f"{channel.name}: the server does not take {one}")
        print_line(f"{channel.name}: taken for {len(channel.addressees) - len(left)}")
    if failed:
        raise typer.Exit(ExitCode.PARTIAL if taken else ExitCode.NOTHING)
