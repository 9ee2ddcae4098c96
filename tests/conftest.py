"""What this machine lacks is named, never passed over: each test that could not run says what it needs."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus import CORPUS, rows


def _has(*commands: str) -> bool:
    return all(shutil.which(command) for command in commands)


def _has_orthanc() -> bool:
    return _has("Orthanc") and Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so").exists()


NEEDS: dict[str, tuple[str, Callable[[], bool]]] = {
    "orthanc": ("Debian's orthanc and orthanc-dicomweb", _has_orthanc),
    "compose": ("Debian's docker-compose", lambda: _has("docker-compose")),
    "image": (
        "root, and PONTE_IMAGE=1 with a package index to install from",
        lambda: os.geteuid() == 0 and os.environ.get("PONTE_IMAGE") == "1",
    ),
    "systemd": ("Debian's systemd", lambda: _has("systemd-analyze")),
    "dcmtk": ("Debian's dcmtk", lambda: _has("dcmj2pnm")),
    "dicom3tools": ("Debian's dicom3tools", lambda: _has("dciodvfy")),
    "pdftools": ("Debian's poppler-utils and qpdf", lambda: _has("pdftotext", "pdftoppm", "qpdf")),
    "torch": (
        "the environment of requirements/export_onnx.txt (PONTE_TORCH_PYTHON)",
        lambda: bool(os.environ.get("PONTE_TORCH_PYTHON")),
    ),
    "ffmpeg": ("ffmpeg, which an operator may install", lambda: _has("ffmpeg")),
    "browser": ("Debian's chromium and dcmtk", lambda: _has("chromium", "storescu", "storescp")),
    "corpus": ("the corpus of real files (PONTE_CORPUS)", lambda: CORPUS is not None),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--endpoint", default="", help="run the stack's tests against this AWS endpoint")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {marker: what for marker, (what, has) in NEEDS.items() if not has()}
    for item in items:
        for marker, what in missing.items():
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"needs {what}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("what ran")
    terminalreporter.line(
        f"corpus: {len(rows())} real files at {CORPUS}"
        if CORPUS
        else "corpus: none; bundled and generated files"
    )
    not_run: defaultdict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        not_run[str(report.longrepr[-1] if report.longrepr else "")].append(report.nodeid)
    if not not_run:
        terminalreporter.line("not run: nothing; every selected test ran")
    for reason, names in not_run.items():
        terminalreporter.line(f"NOT RUN ({len(names)}): {reason}", red=True)
        for name in names:
            terminalreporter.line(f"  {name}")
