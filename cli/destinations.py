"""DESTINATION on the command line: what the layer makes of it, with credentials from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.sources import read_credentials
from ponte.errors import InvalidRequest
from ponte_net import destinations
from ponte_net.destinations import DicomNode, ae_title, open_node, read_node, shown

if TYPE_CHECKING:
    from ponte.destination import Destination
    from ponte_aws.inbox import S3Inbox

__all__ = ["DicomNode", "ae_title", "open_destination", "open_inbox", "open_node", "read_node", "shown"]


def open_destination(
    text: str, *, auth_file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Destination:
    """See `ponte_net.destinations`; `auth_file` holds credentials as those of `ponte render`."""
    return destinations.open_destination(text, credentials=read_credentials(auth_file), environ=environ)


def open_inbox(text: str) -> S3Inbox:
    """The inbox that `s3://bucket[/prefix]` names; who we are comes from where AWS's programs look for it."""
    parts = urlsplit(text)
    bucket = parts.netloc
    if not bucket or set(bucket) & set("@:") or parts.query or parts.fragment:
        raise InvalidRequest(f"{shown(text)} is no inbox; expected s3://bucket/prefix")
    from ponte_aws import clients
    from ponte_aws.inbox import S3Inbox

    return S3Inbox(clients.s3(), bucket, parts.path)
