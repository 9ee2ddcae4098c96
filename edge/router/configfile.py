"""The configuration from where a clinic writes it: `.env` or the environment for what every clinic has, a
YAML file for the rest.

An environment variable wins over the `.env` file, that over the YAML file, that over the default. All that is
wrong is said at once, by name; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from ponte.errors import InvalidRequest
from router.config import EVERYWHERE, Check, RouterConfig, WatchConfig
from router.destinations import Target, read_destinations, target
from watcher.config import parse, read_config

ENVIRONMENT: Final[Mapping[str, str]] = {
    "SCP_AET": "ae_title",
    "DICOM_ROOT": "dicom_root",
    "TARGET_HOST": "target.host",
    "TARGET_PORT": "target.port",
    "TARGET_AET": "target.ae_title",
    "TZ": "timezone",
    "LOG_LEVEL": "log_level",
    "LOG_FILE": "log_file",
    "GRACE_SECONDS": "grace_s",
}
"""Variables and what they set. `HTR_IP`, `SCP_PORT` and `SCP_SECOND_PORT` make the listeners."""


FILE_VARIABLE: Final = "ROUTER_CONFIG"
"""Names the YAML file where nobody else does."""

_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class BadConfiguration(InvalidRequest):
    """`problems` has a line for each, which begins with the name of what is wrong."""

    default_code = "BAD_CONFIGURATION"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(path: Path | None, environment: Mapping[str, str], *, env_file: Path | None = None) -> RouterConfig:
    """The configuration. Raises `BadConfiguration`."""
    variables = {**_read_env_file(env_file), **environment}
    if path is None and (named := variables.get(FILE_VARIABLE, "").strip()):
        path = Path(named)
    values = _read_yaml(path)
    problems: list[str] = []
    _set_all(values, variables, problems)
    destinations, matching = values.pop("destinations", None), values.pop("matching", "all")
    watch = _watch(values.pop("watch", None), path, problems)
    config = _build(RouterConfig, values, "", problems)
    found = _destinations(destinations, problems)
    if watch and watch.to_inbox and watch.to_inbox not in {one.name for one in found if one.kind == "s3"}:
        problems.append(f"watch.to_inbox: {watch.to_inbox!r:.60} is no destination of kind s3")
    if matching not in ("all", "first"):
        problems.append("matching: expected all or first")
    if config is None or problems:
        raise BadConfiguration(problems)
    if destinations is None or "target" in values:
        found = (_target(config), *found)
    return replace(config, destinations=found, matching=matching, watch=watch)


def _set_all(values: dict[str, Any], variables: Mapping[str, str], problems: list[str]) -> None:
    """What the variables say, over what the file says."""
    for variable, name in ENVIRONMENT.items():
        if value := _variable(variable, variables, problems):
            _set(values, name, value)
    if variables.get("LOG_FILE", "none").strip() == "":
        values["log_file"] = ""
    listeners = _listeners(variables, problems)
    if listeners and "listeners" in values:
        problems.append("listeners: HTR_IP or SCP_PORT is set as well; expected one of the two ways")
    elif listeners:
        values["listeners"] = listeners


def _watch(value: Any, path: Path | None, problems: list[str]) -> WatchConfig | None:
    """The folder watcher: its own sections, or the file that has them."""
    if value is None:
        return None
    if not isinstance(value, dict):
        problems.append("watch: expected names and values")
        return None
    base = path.parent.absolute() if path else Path.cwd()
    sections = {name: section for name, section in value.items() if name not in ("config", "to_inbox")}
    inbox, file = value.get("to_inbox"), value.get("config")
    try:
        if file is None:
            settings = parse(sections, base, has_destination=False)
        elif sections or not isinstance(file, str):
            problems.append("watch.config: expected a path, and no other section beside it")
            return None
        else:
            settings = read_config(base / file, has_destination=False)
    except InvalidRequest as error:
        problems.append(f"watch: {error.detail}")
        return None
    if inbox is not None and not isinstance(inbox, str):
        problems.append("watch.to_inbox: expected the name of a destination")
        return None
    return WatchConfig(settings, inbox)


def _destinations(values: Any, problems: list[str]) -> tuple[Target, ...]:
    """Those of the YAML file. Without any there, there is the one that the variables make."""
    if values is not None and not isinstance(values, list):
        problems.append("destinations: expected a list")
        return ()
    try:
        return read_destinations(values or [])
    except InvalidRequest as error:
        problems += error.detail.split("; ")
        return ()


def _target(config: RouterConfig) -> Target:
    one = config.target
    return target(one.host, one.port, one.ae_title, calling_ae_title=config.ae_title)


def _listeners(variables: Mapping[str, str], problems: list[str]) -> list[dict[str, str]]:
    """What the variables say: the ports on the one address. None of them leaves those of the YAML file."""
    names = ("HTR_IP", "SCP_PORT", "SCP_SECOND_PORT")
    address, port, second = (_variable(name, variables, problems) for name in names)
    if not (address or port or second):
        return []
    return [{"address": address or EVERYWHERE, "port": one} for one in (port or "104", second) if one]


def _variable(name: str, variables: Mapping[str, str], problems: list[str]) -> str:
    """Its value, or what the file that `NAME_FILE` names has."""
    file = variables.get(f"{name}_FILE", "").strip()
    return _read_secret(Path(file), f"{name}_FILE", problems) if file else variables.get(name, "").strip()


def _read_secret(path: Path, name: str, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        problems.append(f"{name}: {path} cannot be read")
        return ""


def _read_env_file(path: Path | None) -> dict[str, str]:
    """`NAME=value` a line; quotes around a value, `export` before it and lines with `#` are passed over."""
    if path is None or not path.exists():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, sign, value = line.strip().removeprefix("export ").partition("=")
        if sign and not name.startswith("#"):
            found[name.strip()] = value.split(" #")[0].strip().strip("'\"")
    return found


def _read_yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration([f"{path}: cannot be read ({type(error).__name__})"]) from error
    except yaml.YAMLError as error:
        raise BadConfiguration([f"{path}: is no YAML ({' '.join(str(error).split())})"]) from error
    if found is not None and not isinstance(found, dict):
        raise BadConfiguration([f"{path}: expected names and values"])
    return found or {}


def _set(values: dict[str, Any], name: str, value: str) -> None:
    *above, last = name.split(".")
    for part in above:
        inner = values.get(part)
        values[part] = values = dict(inner) if isinstance(inner, dict) else {}
    values[last] = value


def _build[T](kind: type[T], values: Any, name: str, problems: list[str]) -> T | None:
    """An object of a data class from plain values; None where something is wrong, which `problems` says."""
    if not isinstance(values, dict):
        problems.append(f"{name}: expected names and values")
        return None
    before = len(problems)
    values = _with_secrets(kind, values, name, problems)
    hints, known = get_type_hints(kind), {one.name: one for one in _fields(kind)}
    problems += [f"{_joined(name, key)}: is not known" for key in values if key not in known]
    given: dict[str, Any] = {}
    for key, one in known.items():
        if key in values:
            given[key] = _convert(hints[key], values[key], _joined(name, key), one, problems)
        elif one.default is MISSING and one.default_factory is MISSING:
            problems.append(f"{_joined(name, key)}: is missing")
    return kind(**given) if len(problems) == before else None


def _with_secrets(kind: Any, values: dict[str, Any], name: str, problems: list[str]) -> dict[str, Any]:
    """The values, with what the file has that `NAME_file` names in the place of a secret's."""
    found = dict(values)
    for one in _fields(kind):
        if one.metadata.get("secret") and isinstance(found.get(f"{one.name}_file"), str):
            file = found.pop(f"{one.name}_file")
            found[one.name] = _read_secret(Path(file), _joined(name, f"{one.name}_file"), problems)
    return found


def _convert(hint: Any, value: Any, name: str, one: Field[Any], problems: list[str]) -> Any:
    """A value of the hinted type."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        if value is None:
            return None
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
        return _convert(hint, value, name, one, problems)
    if origin is tuple:
        several = value.split(",") if isinstance(value, str) else value
        if not isinstance(several, list):
            problems.append(f"{name}: expected a list")
            return ()
        if len(several) < one.metadata.get("least", 0):
            problems.append(f"{name}: is empty")
        inner = get_args(hint)[0]
        return tuple(_convert(inner, part, f"{name}[{at}]", one, problems) for at, part in enumerate(several))
    if origin is not None:
        if not isinstance(value, dict):
            problems.append(f"{name}: expected names and values")
            return {}
        inner = get_args(hint)[1]
        return {
            str(key): _convert(inner, part, f"{name}.{key}", one, problems) for key, part in value.items()
        }
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, name, problems)
    return _scalar(hint, value, name, one, problems)


def _scalar(hint: Any, value: Any, name: str, one: Field[Any], problems: list[str]) -> Any:
    words = {int: "a whole number", float: "a number", str: "a text", Path: "a path", bool: "true or false"}
    try:
        if hint is bool:
            return _FLAGS[str(value).strip().lower()]
        if isinstance(value, (bool, list, dict)) or (hint is int and isinstance(value, float)):
            raise ValueError  # noqa: TRY301
        found = hint(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError, KeyError):
        problems.append(f"{name}: expected {words.get(hint, 'another value')}")
        return None
    check: Check | None = one.metadata.get("check")
    problem = check(found) if check else ""
    if problem:
        problems.append(f"{name}: {problem}")
    return found


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def all_variables(environment: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """Those of the `.env` file, and of the environment, which wins."""
    return {**_read_env_file(env_file), **environment}


def own_variables(
    names: Iterable[str], environment: Mapping[str, str], env_file: Path | None, problems: list[str]
) -> dict[str, str]:
    """What variables say that another program of the box has, read as the router's are; "" for none."""
    variables = {**_read_env_file(env_file), **environment}
    return {name: _variable(name, variables, problems) for name in names}
