"""Where each value of the configuration comes from: environment, `.env`, YAML file or default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from router.config import RouterConfig
from router.configfile import ENVIRONMENT, all_variables

Origin = Literal["environment", "env_file", "yaml", "default"]
_LISTENERS: Final = ("HTR_IP", "SCP_PORT", "SCP_SECOND_PORT")
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
    where = _Where(_read(path), environment, all_variables({}, env_file))
    return [Setting(name, str(value), *where.of(name)) for name, value in _flat("", config.shown())]


class _Where:
    def __init__(
        self, said: Mapping[str, Any], environment: Mapping[str, str], env_file: Mapping[str, str]
    ) -> None:
        self._said = said
        self._environment = environment
        self._env_file = env_file

    def of(self, name: str) -> tuple[Origin, str]:
        """What set it."""
        for variable in self._variables(name):
            for origin, there in (("environment", self._environment), ("env_file", self._env_file)):
                for one in (variable, f"{variable}_FILE"):
                    if there.get(one, "").strip():
                        return origin, one  # type: ignore[return-value]
        return ("yaml", "") if self._is_said(name) else ("default", "")

    def _variables(self, name: str) -> tuple[str, ...]:
        first = name.partition("[")[0].partition(".")[0]
        if first == "listeners":
            return _LISTENERS
        if first == "destinations" and "destinations" not in self._said:
            return _TARGET
        return tuple(variable for variable, setting in ENVIRONMENT.items() if setting == name)

    def _is_said(self, name: str) -> bool:
        found: Any = self._said
        for part in name.partition("[")[0].split("."):
            if not isinstance(found, dict) or part not in found:
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
