"""What goes wrong with the stack of this machine."""

from __future__ import annotations

from ponte.errors import PonteError


class LocalStackError(PonteError):
    """The local stack cannot start, or one of its parts stopped; the text says which and where its log is."""


class PortInUseError(LocalStackError):
    """Another program listens on the port that was asked for."""


class DeployError(LocalStackError):
    """The template, or one of its resources, was refused."""
