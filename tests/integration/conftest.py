"""Fixtures of the tests that need the stack."""

from __future__ import annotations

from tests.stack import api, local_stack, orthanc, receiver, stack_orthanc

__all__ = ["api", "local_stack", "orthanc", "receiver", "stack_orthanc"]
