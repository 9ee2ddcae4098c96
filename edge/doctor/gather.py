"""The box as far as it can be read: a configuration that is wrong is itself a finding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from doctor.bundle import Box
from router.config import RouterConfig
from router.configfile import BadConfiguration, all_variables, load


def gather(path: Path | None, environment: Mapping[str, str], env_file: Path | None) -> Box:
    """Never raises for what a configuration says: where that cannot be read, `DICOM_ROOT` still tells where
    the rows and logs are."""
    variables = all_variables(environment, env_file)
    try:
        config = load(path, environment, env_file=env_file)
    except BadConfiguration as error:
        root = variables.get("DICOM_ROOT", "").strip() or _said_in(path)
        return Box(Path(root), None, tuple(error.problems), variables)
    return Box(config.dicom_root, config, (), variables)


def _said_in(path: Path | None) -> str:
    """The folder that a file names which is wrong in another place, else the default."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) if path else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        said = None
    root = said.get("dicom_root") if isinstance(said, dict) else None
    return root if isinstance(root, str) and root else str(RouterConfig().dicom_root)
