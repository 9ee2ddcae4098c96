"""Secrets of the operator that change while the functions run: several are valid at once.

The secret is a JSON object of names and values, `{"billing": "...", "billing-2027": "..."}`: to rotate, add
the new value, tell those who hold the old one, then take the old one out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ponte.errors import SecretUnusable

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

KEPT_S = 60.0
_kept: dict[str, tuple[float, Mapping[str, str]]] = {}


def read_secrets(secrets_manager: SecretsManagerClient, secret_arn: str) -> Mapping[str, str]:
    """All values in use, by name; read again after a minute. Raises `SecretUnusable`, botocore's errors."""
    moment, values = _kept.get(secret_arn, (0.0, {}))
    if values and time.monotonic() - moment < KEPT_S:
        return values
    text = secrets_manager.get_secret_value(SecretId=secret_arn)["SecretString"]
    values = _parse(text)
    _kept[secret_arn] = (time.monotonic(), values)
    return values


def forget() -> None:
    """Read every secret anew at its next use."""
    _kept.clear()


def _parse(text: str) -> Mapping[str, str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if (
        not isinstance(values, dict)
        or not values
        or not all(v and isinstance(v, str) for v in values.values())
    ):
        raise SecretUnusable("the secret is not a JSON object of names and texts")
    return values
