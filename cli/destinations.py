"""DESTINATION on the command line: what the layer makes of it, with credentials from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cli.sources import read_credentials
from ponte_net import destinations
from ponte_net.destinations import DicomNode, ae_title, open_node, read_node, shown

if TYPE_CHECKING:
    from ponte.destination import Destination

__all__ = ["DicomNode", "ae_title", "open_destination", "open_node", "read_node", "shown"]


def open_destination(
    text: str, *, auth_file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Destination:
    """See `ponte_net.destinations`; `auth_file` holds credentials as those of `ponte render`."""
    return destinations.open_destination(text, credentials=read_credentials(auth_file), environ=environ)
