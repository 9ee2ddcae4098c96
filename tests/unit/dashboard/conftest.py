"""A box without a router, and the passwords that its pages ask for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dashboard.config import DashboardConfig
from router.config import RouterConfig
from router.destinations import target

OPERATOR, VIEWER = "operator of the box", "viewer of the box"


@cache
def quickly_hashed(password: str) -> str:
    """As `dashboard.passwords.hashed`, for tests: it costs nothing to find out."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


@pytest.fixture
def router(tmp_path: Path) -> RouterConfig:
    """Nothing is in its folder, and it has the destination `target`."""
    (tmp_path / ".spool").mkdir()
    return RouterConfig(dicom_root=tmp_path, destinations=(target("127.0.0.1", 4243, "PACS"),))


@pytest.fixture
def guarded(router: RouterConfig) -> DashboardConfig:
    """With both passwords."""
    return DashboardConfig(
        router,
        host="10.0.0.5",
        password_hash=quickly_hashed(OPERATOR),
        viewer_password_hash=quickly_hashed(VIEWER),
    )
