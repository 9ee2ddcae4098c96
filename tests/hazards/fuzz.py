"""A seeded mutator of archives and instances: bytes flipped, cut, inserted, spliced, lengths made to lie."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO

from tests.corpus import CORPUS
from tests.unit.ponte.samples import bundled

BUNDLED = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm",
    "JPEG2000.dcm", "JPGExtended.dcm", "image_dfl.dcm", "rtplan.dcm", "rtdose.dcm", "reportsi.dcm",
    "nested_priv_SQ.dcm", "test-SR.dcm", "no_meta.dcm",
)  # fmt: skip
LARGEST = 300_000
_LIES = (
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0",
    b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04", b"\x02\x00\x10\x00", b"SQ\0\0\xff\xff\xff\xff",
    b"\xe0\x7f\x10\x00",
)  # fmt: skip


def instances() -> list[bytes]:
    """Instances to begin with: bundled ones, and small ones of the corpus where there is one."""
    found = [bundled(name) for name in BUNDLED]
    files = [path for path in (CORPUS.rglob("*") if CORPUS else ()) if path.is_file()]
    small = sorted(path for path in files if path.stat().st_size < LARGEST)
    return [*found, *(path.read_bytes() for path in small[:: max(len(small) // 150, 1)])]


def mutated(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """The bytes after one to four mutations."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = dice.choice(_WAYS)(data, others, dice)
    return data


def zipped(members: Sequence[bytes], dice: random.Random) -> bytes:
    """A sound archive of them, in one of the ways that archives are made."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, data in enumerate(members):
            info = zipfile.ZipInfo(dice.choice((f"IM{number}", f"São/{number}.dcm", "x" * 300 + str(number))))
            info.compress_type = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(info, data)
    return out.getvalue()


def case(seed: int, sources: Sequence[bytes]) -> bytes:
    """One archive of one to four members; the members are mutated, or the archive, or both."""
    dice = random.Random(seed)
    members = [dice.choice(sources) for _ in range(dice.randint(1, 4))]
    where = dice.choice(("members", "archive", "directory", "both"))
    if where in ("members", "both"):
        members = [mutated(data, sources, dice) if dice.random() < 0.7 else data for data in members]
    archive = zipped(members, dice)
    if where == "directory":
        start = archive.rindex(b"PK\x05\x06") - 200
        return archive[: max(start, 0)] + mutated(archive[max(start, 0) :], sources, dice)
    return mutated(archive, sources, dice) if where in ("archive", "both") else archive


def _flip(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _time in range(dice.choice((1, 1, 4, 30))):
        if spoiled:
            spoiled[_place(len(spoiled) - 1, dice)] ^= 1 << dice.randrange(8)
    return bytes(spoiled)


def _cut(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    return data[: _place(len(data), dice)] if dice.random() < 0.7 else data[_place(len(data), dice) :]


def _remove(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    at = _place(len(data), dice)
    return data[:at] + data[at + dice.choice((1, 2, 8, 100, 5000)) :]


def _insert(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    at = _place(len(data), dice)
    return data[:at] + dice.choice((dice.randbytes(dice.choice((1, 2, 9, 70))), *_LIES)) + data[at:]


def _lie(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    at, lie = _place(len(data), dice), dice.choice(_LIES)
    return data[:at] + lie + data[at + len(lie) :]


def _splice(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others)
    return data[: _place(len(data), dice)] + other[_place(len(other), dice) :]


def _repeat(data: bytes, _: Sequence[bytes], dice: random.Random) -> bytes:
    at = _place(len(data), dice)
    return data[:at] + data[at : at + dice.choice((4, 8, 40, 1000))] + data[at:]


def _place(size: int, dice: random.Random) -> int:
    """Anywhere, and more often where headers are."""
    return dice.randint(0, max(size, 0) if dice.random() < 0.5 else max(min(size, 1500), 0))


_WAYS: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    _flip, _flip, _cut, _remove, _insert, _lie, _lie, _splice, _repeat,
)  # fmt: skip
