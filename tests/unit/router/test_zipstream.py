"""The archive of a study: readable by everybody, the same bytes each time, and nothing of a patient in it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from ponte.archive import Archive
from ponte.destination import Outgoing
from router import zipstream
from router.zipstream import DamagedMember, Member, zip_stream
from tests.factories import encode, make_ct


def member(number: int, *, deflate: bool = False, sha256: bytes | None = None, size: int = 64) -> Member:
    instance = make_ct(number, size=size)
    return Member(number, Outgoing(instance.SOPInstanceUID, encode(instance)), deflate, sha256)


def contents(members: list[Member]) -> list[bytes]:
    return [bytes(one.instance.content) for one in members if isinstance(one.instance.content, bytes)]


@pytest.mark.parametrize("deflate", [False, True])
def test_every_reader_finds_the_members_as_they_were_in_their_order(deflate: bool, tmp_path: Path) -> None:
    members = [member(number, deflate=deflate) for number in range(1, 6)]
    data = b"".join(zip_stream(members, tmp_path))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{number:08d}.dcm" for number in range(1, 6)]
        assert [archive.read(name) for name in archive.namelist()] == contents(members)
        methods = {info.compress_type for info in archive.infolist()}
    assert methods == {zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED}
    assert [b"".join(one.pieces()) for one in Archive(io.BytesIO(data)).members()] == contents(members)
    assert b"".join(zip_stream(members, tmp_path)) == data


def test_what_changed_on_the_disk_is_not_sent_as_what_was_received(tmp_path: Path) -> None:
    data = member(1).instance.content
    assert isinstance(data, bytes)
    sound = member(1, sha256=hashlib.sha256(data).digest())
    assert b"".join(zip_stream([sound], tmp_path))
    with pytest.raises(DamagedMember) as raised:
        b"".join(zip_stream([sound, member(2, sha256=bytes(32))], tmp_path))
    assert raised.value.member.number == 2


def test_beyond_the_limits_of_32_bits_zip64_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With those limits set low, for nobody has four gigabytes to spare for a test."""
    monkeypatch.setattr(zipstream, "_MOST_16", 3)
    members = [member(number) for number in range(1, 6)]
    data = b"".join(zip_stream(members, tmp_path))
    assert b"PK\x06\x06" in data
    assert b"PK\x06\x07" in data
    large = zipstream._Entry(b"00000001.dcm", 0, 1, 5 << 30, 5 << 30, 6 << 30)
    assert zipstream._local(large).endswith((5 << 30).to_bytes(8, "little") * 2)
    assert zipstream._central(large)[-24:] == b"".join(
        value.to_bytes(8, "little") for value in (5 << 30, 5 << 30, 6 << 30)
    )
