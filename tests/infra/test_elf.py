"""Reading shared objects, against what their makers declare of them."""

from __future__ import annotations

import importlib.util
import platform
import struct
from importlib import metadata
from pathlib import Path

import pytest

from infra import elf

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="needs Linux wheels to read")

MACHINES = {"x86_64": 62, "aarch64": 183}


def numpy_core() -> Path:
    found = importlib.util.find_spec("numpy._core._multiarray_umath")
    assert found
    assert found.origin
    return Path(found.origin)


def test_the_machine_is_that_of_this_machine() -> None:
    assert elf.read(numpy_core()).machine == MACHINES[platform.machine()]


def test_the_libraries_needed_are_there_or_the_systems() -> None:
    needed = elf.read(numpy_core()).needed
    bundled = {path.name for path in (numpy_core().parents[2] / "numpy.libs").iterdir()}
    assert "libc.so.6" in needed
    assert bundled & set(needed)


def test_no_newer_c_library_is_needed_than_the_wheel_says() -> None:
    (tag, *_) = [
        line.split("_")[-4:]
        for line in (metadata.distribution("numpy").read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag:") and "manylinux_2_" in line
    ]
    declared = (2, int(tag[1] if tag[0] == "2" else tag[0]))
    newest = elf.read(numpy_core()).newest("GLIBC")
    assert (2, 2) <= newest <= declared


def test_versions_are_compared_as_numbers() -> None:
    found = elf.SharedObject(
        machine=62,
        needed=(),
        versions=frozenset({"GLIBC_2.4", "GLIBC_2.14", "GLIBC_PRIVATE", "GLIBCXX_3.4.30"}),
    )
    assert found.newest("GLIBC") == (2, 14)
    assert found.newest("GLIBCXX") == (3, 4, 30)
    assert found.newest("CXXABI") == ()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n", id="a script"),
        pytest.param(b"\x7fELF\x01\x01" + bytes(60), id="32 bits"),
        pytest.param(b"\x7fELF\x02\x01" + bytes(4), id="cut in the header"),
        pytest.param(
            b"\x7fELF\x02\x01"
            + bytes(34)
            + struct.pack("<Q", 1 << 40)
            + bytes(10)
            + struct.pack("<HHH", 64, 9, 0),
            id="sections beyond the end",
        ),
    ],
)
def test_what_is_no_whole_object_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(content)
    with pytest.raises(elf.ElfError):
        elf.read(path)
