"""Standard Webhooks: three headers by which a receiver knows who sent a callback, and that it is no repeat.

`webhook-signature` is HMAC-SHA256 over `id.timestamp.body` with each secret in use, so that a receiver may
change from one to the next at its own time (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from ponte.errors import SecretUnusable

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)


def sign(message_id: str, timestamp: int, body: Iterable[bytes], secrets: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt; the body is read once, whatever the number of secrets.

    Without secrets there is no signature: id and time alone. Raises `SecretUnusable` for one that is none.
    """
    macs = [
        hmac.new(_key(secret), f"{message_id}.{timestamp}.".encode(), hashlib.sha256) for secret in secrets
    ]
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if not macs:
        return headers
    for piece in body:
        for mac in macs:
            mac.update(piece)
    signatures = (f"v1,{base64.b64encode(mac.digest()).decode()}" for mac in macs)
    return headers | {"webhook-signature": " ".join(signatures)}


def _key(secret: str) -> bytes:
    """The bytes of a secret: base64, with or without `whsec_`."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in SECRET_BYTES:
        raise SecretUnusable("a webhook secret is not whsec_ and base64 of 24 to 64 bytes")
    return key
