"""`ponte router`: the edge box. A module for each kind of command; importing it adds its commands."""

from __future__ import annotations

from cli.router import alerting as alerting
from cli.router import control as control
from cli.router import custody as custody
from cli.router import diagnostics as diagnostics
from cli.router import installation as installation
from cli.router import quarantine as quarantine
from cli.router import running as running
from cli.router.app import router

__all__ = ["router"]
