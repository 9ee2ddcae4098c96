"""What there is to do on a machine so that the edge box runs there, or runs there no more."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from installer import steps, units, variables
from installer.layout import Layout
from installer.steps import Step
from ponte.errors import InvalidRequest
from router.config import EVERYWHERE, RouterConfig
from router.configfile import FILE_VARIABLE, load

_OWNER_ONLY = 0o700
_GENERATED_BYTES = 12


@dataclass(slots=True)
class Plan:
    """`steps` in their order; only those that say something are to be done. `different` is how a `.env` that
    is there differs from the one that was wanted; `password` is shown once, "" where none was made."""

    steps: list[Step] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    password: str = field(default="", repr=False)

    def said(self) -> list[str]:
        """What it would do now."""
        return [said for step in self.steps if (said := step.say())]

    def do(self) -> None:
        """Do what there is to do. Raises `OSError`."""
        for step in self.steps:
            if step.say():
                step.do()


def install(
    layout: Layout,
    settings: Mapping[str, str],
    program: Path,
    *,
    password: bool = True,
    run: steps.Run = steps.run,
) -> Plan:
    """A plan for these settings; without `password` the dashboard listens on this machine alone.

    Raises `BadConfiguration` for settings that no router starts with, `InvalidRequest` for a value that
    `.env` cannot hold.
    """
    plan = Plan()
    env_file = _env_file(layout, settings, plan, page=password)
    found = configuration(variables.read(env_file.text))
    if layout.is_system:
        plan.steps.append(steps.SystemUser(layout.user, run))
    plan.steps += [
        steps.Folder(layout.configuration, 0o750 if layout.is_system else 0o755, layout.user),
        steps.Folder(layout.root, _OWNER_ONLY, layout.user, closed=True),
        steps.Folder(layout.backups, _OWNER_ONLY, layout.user, closed=True),
        steps.Folder(layout.units, 0o755),
    ]
    if layout.is_system:
        plan.steps.append(steps.Ownership(layout.root, layout.user))
    plan.steps += [steps.ReceiptKey(layout.root), env_file]
    for name, unit in units.texts(layout, program, found.grace_s).items():
        plan.steps.append(steps.File(layout.units / name, unit, 0o644))
    if layout.command:
        plan.steps.append(steps.File(layout.command, units.command(layout, program), 0o755))
    if layout.is_system and plan.said():
        plan.steps.append(steps.Command(["systemctl", "daemon-reload"], run))
    return plan


def _env_file(layout: Layout, settings: Mapping[str, str], plan: Plan, *, page: bool) -> steps.File:
    """The `.env` as it is to be: as it is, where it is there."""
    if layout.env_file.exists():
        there = layout.env_file.read_text(encoding="utf-8")
        plan.different = variables.difference(there, settings)
        return steps.File(layout.env_file, there, 0o600, layout.user)
    given = _together(settings)
    values = {"DICOM_ROOT": str(layout.root), **given, **_passwords(given, plan, page=page)}
    return steps.File(layout.env_file, _text(values), 0o600, layout.user)


def uninstall(layout: Layout, run: steps.Run = steps.run) -> Plan:
    """Units and command go; settings, images, backups and the user stay."""
    plan = Plan()
    there = [name for name in units.NAMES if (layout.units / name).exists()]
    if layout.is_system and there:
        plan.steps.append(steps.Command(["systemctl", "disable", "--now", *there], run))
    plan.steps += [steps.Gone(layout.units / name) for name in there]
    if layout.command:
        plan.steps.append(steps.Gone(layout.command))
    if layout.is_system and there:
        plan.steps.append(steps.Command(["systemctl", "daemon-reload"], run))
    return plan


def configuration(values: Mapping[str, str]) -> RouterConfig:
    """What a router makes of these variables. The YAML file that they name counts where it is there by now:
    for a container they name it as the container sees it. Raises `BadConfiguration`."""
    path = Path(values.get(FILE_VARIABLE, ""))
    return load(path if path.is_file() else None, {**values, FILE_VARIABLE: ""})


def _together(settings: Mapping[str, str]) -> dict[str, str]:
    """Where the YAML file has the listeners, or every destination, none of their variables may be set: empty
    for one is empty for all."""
    found = dict(settings)
    for first, *others in (
        ("HTR_IP", "SCP_PORT", "SCP_SECOND_PORT"),
        ("TARGET_HOST", "TARGET_PORT", "TARGET_AET"),
    ):
        if found.get(first) == "":
            found |= dict.fromkeys(others, "")
    return found


def _passwords(settings: Mapping[str, str], plan: Plan, *, page: bool) -> dict[str, str]:
    """One for Orthanc; one for the page, which then may be reached from other machines."""
    orthanc = secrets.token_urlsafe(18)
    values = {"ORTHANC_PASSWORD": orthanc, "DICOM_PASSWORD": orthanc}
    if page:
        plan.password = secrets.token_urlsafe(_GENERATED_BYTES)
        host = settings.get("DASHBOARD_HOST", EVERYWHERE)
        values["DASHBOARD_HOST"] = host
        values["DASHBOARD_PUBLISH"] = f"{host}:8501"
        values["DASHBOARD_PASSWORD_HASH"] = _hashed(plan.password)
    return values


def _text(values: Mapping[str, str]) -> str:
    try:
        return variables.filled(values)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def _hashed(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)
