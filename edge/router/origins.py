"""Where each value of the configuration comes from: environment, `.env`, YAML file or default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from router.config import RouterConfig
from router.configfile import ENVIRONMENT, all_variables

Origin = Literal["environment", "env_file", "yaml", "default"]
_LISTENERS: Final = ("HTR_IP", "SCP_PORT", "SCP_SECOND_PORT")
_STEP: Final = re.compile(r"[^.\[\]]+")
_TARGET: Final = ("TARGET_HOST", "TARGET_PORT", "TARGET_AET")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value by its name, as plain text; `variable` is the one that set it, "" for none. A secret is
    hidden."""

    name: str
    value: str
    origin: Origin
    variable: str = ""


def settings(
    config: RouterConfig, path: Path | None, environment: Mapping[str, str], env_file: Path | None
) -> list[Setting]:
    """All of them, in the order of `RouterConfig`."""
    where = _Where(_read(path), environment, all_variables({}, env_file), len(config.destinations))
    return [Setting(name, str(value), *where.of(name)) for name, value in _flat("", config.shown())]


class _Where:
    def __init__(
        self,
        said: Mapping[str, Any],
        environment: Mapping[str, str],
        env_file: Mapping[str, str],
        destinations: int,
    ) -> None:
        self._said = said
        self._environment = environment
        self._env_file = env_file
        own = said.get("destinations")
        self._made = destinations - len(own) if isinstance(own, list) else destinations
        """How many destinations come before those of the file: the one that `TARGET_HOST` makes."""

    def of(self, name: str) -> tuple[Origin, str]:
        """What set it."""
        path: list[str | int] = [int(one) if one.isdigit() else one for one in _STEP.findall(name)]
        if path[0] == "destinations" and len(path) > 1 and isinstance(path[1], int):
            path[1] -= self._made
        for variable in self._variables(name, path):
            for one in (variable, f"{variable}_FILE"):
                if self._environment.get(one, "").strip():
                    return "environment", one
                if self._env_file.get(one, "").strip():
                    return "env_file", one
        return ("yaml", "") if self._is_said(path) else ("default", "")

    def _variables(self, name: str, path: list[str | int]) -> tuple[str, ...]:
        if path[0] == "listeners":
            return _LISTENERS
        if path[0] == "destinations" and len(path) > 1 and isinstance(path[1], int) and path[1] < 0:
            return _TARGET
        return tuple(variable for variable, setting in ENVIRONMENT.items() if setting == name)

    def _is_said(self, path: Sequence[str | int]) -> bool:
        found: Any = self._said
        for part in path:
            if isinstance(part, int):
                if not isinstance(found, list) or not 0 <= part < len(found):
                    return False
            elif not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True


def _read(path: Path | None) -> Mapping[str, Any]:
    """What the file says; nothing where it cannot be read any more."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """`destinations[0].host` and the value there; what is empty by its own name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _flat(f"{name}[{number}]", inner)
    else:
        yield name, "" if value in (None, [], {}) else value
