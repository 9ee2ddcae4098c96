"""What a shared object says about itself: machine, libraries it needs, symbol versions it needs.

Only 64-bit little-endian ELF, which is all that Lambda runs (System V ABI, chapters 4 and 5; LSB Core 10.7
for the version sections).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

X86_64: Final = 62
AARCH64: Final = 183

_MAGIC: Final = b"\x7fELF\x02\x01"  # 64-bit, little-endian
_SHT_DYNAMIC: Final = 6
_SHT_GNU_VERNEED: Final = 0x6FFFFFFE
_DT_NEEDED: Final = 1


class ElfError(ValueError):
    """The file is not a 64-bit little-endian ELF object, or is cut."""


@dataclass(frozen=True, slots=True)
class SharedObject:
    """What the loader will ask for."""

    machine: int
    needed: tuple[str, ...]
    versions: frozenset[str]

    def newest(self, family: str) -> tuple[int, ...]:
        """The newest version needed of a family of symbol versions (`GLIBC`); `()` where there is none."""
        found = [v.removeprefix(f"{family}_") for v in self.versions if v.startswith(f"{family}_")]
        numbered = [tuple(int(part) for part in v.split(".")) for v in found if v.replace(".", "").isdigit()]
        return max(numbered, default=())


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    info: int


def is_elf(path: Path) -> bool:
    """Whether the file begins as a 64-bit little-endian ELF object."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def read(path: Path) -> SharedObject:
    """Read a shared object. Raises `ElfError`."""
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise ElfError(f"{path.name} is not a 64-bit little-endian ELF object")
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ElfError(f"{path.name} is cut or damaged") from error


def _read(data: bytes) -> SharedObject:
    (machine,) = struct.unpack_from("<H", data, 18)
    sections = list(_sections(data))
    needed: list[str] = []
    versions: set[str] = set()
    for section in sections:
        strings = sections[section.link] if section.link < len(sections) else section
        if section.kind == _SHT_DYNAMIC:
            needed += [_string(data, strings, at) for tag, at in _dynamic(data, section) if tag == _DT_NEEDED]
        elif section.kind == _SHT_GNU_VERNEED:
            versions |= {_string(data, strings, at) for at in _version_names(data, section)}
    return SharedObject(machine=machine, needed=tuple(needed), versions=frozenset(versions))


def _sections(data: bytes) -> Iterator[_Section]:
    (table,) = struct.unpack_from("<Q", data, 40)
    entry_size, count = struct.unpack_from("<HH", data, 58)
    for index in range(count):
        _, kind, _, _, offset, size, link, info = struct.unpack_from(
            "<IIQQQQII", data, table + index * entry_size
        )
        yield _Section(kind, offset, size, link, info)


def _dynamic(data: bytes, section: _Section) -> Iterator[tuple[int, int]]:
    for at in range(section.offset, section.offset + section.size, 16):
        yield struct.unpack_from("<QQ", data, at)


def _version_names(data: bytes, section: _Section) -> Iterator[int]:
    """Offsets, in the linked string table, of every symbol version that is needed."""
    at = section.offset
    for _ in range(section.info):
        _, count, _, first, following = struct.unpack_from("<HHIII", data, at)
        entry = at + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, entry)
            yield name
            entry += step
        at += following


def _string(data: bytes, strings: _Section, at: int) -> str:
    start = strings.offset + at
    return data[start : data.index(b"\0", start)].decode()
