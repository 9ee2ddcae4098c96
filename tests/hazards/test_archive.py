"""ZB-00 to ZB-44: what an archive may do to a reader, and what it must not."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest

from ponte.archive import Archive, Limits
from ponte.errors import UnsafeArchive
from tests.factories import encode, make_ct
from tests.hazards.archives import (
    CENTRAL,
    END,
    GOOD,
    LOCAL,
    Builder,
    Generated,
    archive,
    bomb,
    deflate,
    full_overlap,
    nested,
    quoted_overlap,
    zeros_crc,
    zip64,
)

HANG_S = 50.0  # ten times what the table allows
FLAT_BYTES = 64 << 20
A, B = GOOD["a.dcm"], GOOD["b.dcm"]
SMALL = Limits(member_bytes=64 << 20)
GOOD_ENTRIES = [("a.dcm", None), ("b.dcm", None)]


def entries_of(data: bytes, limits: Limits | None = None) -> list[tuple[str, str | None]]:
    """Name and reason of each member, in time and in memory."""
    tracemalloc.start()
    began = perf_counter()
    try:
        found = [(m.name, m.scan().reason) for m in Archive(io.BytesIO(data), limits).members()]
        assert tracemalloc.get_traced_memory()[1] < FLAT_BYTES
    finally:
        tracemalloc.stop()
    assert perf_counter() - began < HANG_S
    assert all(name.isprintable() and not name.startswith("/") for name, _ in found)
    return found


def refusal(data: bytes, limits: Limits | None = None) -> str:
    """The reason why nothing of the archive is read."""
    with pytest.raises(UnsafeArchive) as caught:
        entries_of(data, limits)
    assert "CANAR" not in caught.value.detail.upper()
    return caught.value.code


def good_and(built: Builder) -> bytes:
    return built.add(b"b.dcm", B).bytes()


def test_zb_00_a_good_archive() -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert entries_of(archive(method=method)) == GOOD_ENTRIES


def test_zb_01_a_flat_bomb_is_never_inflated_beyond_the_limit() -> None:
    data = good_and(Builder().add(b"0", b"", raw=bomb(300), size=300 << 20, crc=zeros_crc(300)))
    assert entries_of(data, SMALL) == [("0", "ZIP_BOMB"), ("b.dcm", None)]
    hidden = good_and(Builder().add(b"0", b"", raw=bomb(300), size=60 << 20))
    assert entries_of(hidden, SMALL) == [("0", "ZIP_HEADER_MISMATCH"), ("b.dcm", None)]


def test_zb_01_what_is_large_and_no_bomb_is_called_so() -> None:
    data = good_and(Builder().add(b"0", bytes(range(256)) * 4096, method=0))
    assert entries_of(data, Limits(member_bytes=1 << 19)) == [("0", "ZIP_LIMIT"), ("b.dcm", None)]


def test_zb_02_many_bombs_are_refused_before_one_is_read() -> None:
    built, one = Builder(), bomb(300)
    for number in range(40):
        built.add(str(number).encode(), b"", raw=one, size=300 << 20, crc=0)
    assert refusal(built.bytes()) == "ZIP_BOMB"
    assert refusal(archive(), Limits(total_bytes=10_000)) == "ZIP_BOMB"


def test_zb_03_full_overlap() -> None:
    assert refusal(full_overlap()) == "ZIP_OVERLAP"


def test_zb_04_quoted_overlap() -> None:
    assert refusal(quoted_overlap()) == "ZIP_OVERLAP"


def test_zb_04_overlap_by_an_extra_field_of_the_local_header() -> None:
    data = bytearray(archive(method=zipfile.ZIP_STORED))
    struct.pack_into("<H", data, 28, 8)  # the first header's extra field: eight bytes more
    assert refusal(bytes(data)) == "ZIP_OVERLAP"


def test_zb_05_nesting_beyond_one_level() -> None:
    assert entries_of(nested(12, A)) == [("11.zip/10.zip", "ZIP_NESTED")]


def test_zb_06_one_level_is_opened() -> None:
    data = archive({"a.dcm": A, "inner.zip": archive({"x/b.dcm": B, "c.txt": b"text"})})
    assert entries_of(data) == [
        ("a.dcm", None),
        ("inner.zip/x/b.dcm", None),
        ("inner.zip/c.txt", "NOT_DICOM"),
    ]
    broken = archive({"a.dcm": A, "inner.zip": archive()[:-5]})
    assert entries_of(broken) == [("a.dcm", None), ("inner.zip", "ZIP_TRUNCATED")]


def test_an_archive_is_gone_on_with_behind_any_of_its_members() -> None:
    data = archive({"a.dcm": A, "inner.zip": archive({"b.dcm": B, "c.txt": b"text"}), "d.dcm": B})
    members = list(Archive(io.BytesIO(data)).members())
    assert [m.position for m in members] == [1, 0, 0, 3]
    assert [m.name for m in Archive(io.BytesIO(data)).members(1)] == [m.name for m in members[1:]]
    assert not list(Archive(io.BytesIO(data)).members(3))


def test_zb_06_budgets_are_shared_with_what_is_nested() -> None:
    data = archive({"1.zip": archive(), "2.zip": archive()})
    inner = len(archive())
    assert [reason for _, reason in entries_of(data, Limits(members=5))] == [None, None, "ZIP_LIMIT"]
    total = 2 * inner + len(A) + len(B)
    assert [reason for _, reason in entries_of(data, Limits(total_bytes=total))] == [None, None, "ZIP_BOMB"]
    assert entries_of(data, Limits(nested_bytes=100)) == [("1.zip", "ZIP_LIMIT"), ("2.zip", "ZIP_LIMIT")]


def test_zb_05_bombs_in_bombs_share_one_budget() -> None:
    """Each is within its own ratio; all of them are not within that of what was sent."""
    inner = Builder().add(b"0", b"", raw=bomb(40), size=40 << 20, crc=zeros_crc(40)).bytes()
    data = archive({f"{number}.zip": inner for number in range(5)})
    limits = Limits(free_bytes=100 << 20, ratio=1)
    assert [reason for _, reason in entries_of(data, limits)] == ["NOT_DICOM"] * 2 + ["ZIP_BOMB"] * 3


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"../../etc/passwd", "etc/passwd"),
        (b"/etc/passwd", "etc/passwd"),
        (b"..\\..\\windows\\x.dcm", "windows/x.dcm"),
        (b"C:\\Users\\x.dcm", "C_/Users/x.dcm"),
        (b"\\\\host\\share\\x.dcm", "host/share/x.dcm"),
        (b"a/./../b//c", "a/b/c"),
    ],
)
def test_zb_07_08_09_names_that_lead_elsewhere(
    name: bytes, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert entries_of(Builder().add(name, A).bytes()) == [(shown, None)]
    assert list(tmp_path.iterdir()) == []


def test_zb_10_11_links_and_devices_are_named_and_not_followed() -> None:
    built = Builder()
    built.add(b"link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    for kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK):
        built.add(b"device", b"", method=0, mode=kind | 0o600)
    built.add(b"a.dcm", A, mode=stat.S_IFREG | 0o600)
    found = entries_of(built.bytes())
    assert found == [("link", "SYMLINK"), *[("device", "NOT_REGULAR")] * 3, ("a.dcm", None)]


def test_zb_12_13_14_members_of_the_same_name_are_all_seen() -> None:
    names = [b"a.dcm", b"a.dcm", b"A.DCM", "\u00e9.dcm".encode(), "e\u0301.dcm".encode()]
    built = Builder()
    for number, name in enumerate(names):
        built.add(name, encode(make_ct(number)))
    members = list(Archive(io.BytesIO(built.bytes())).members())
    assert len(members) == 5
    digests = {m.scan().sha256 for m in Archive(io.BytesIO(built.bytes())).members()}
    assert len(digests) == 5


def test_zb_15_names_that_are_no_utf_8_cost_nothing() -> None:
    data = Builder().add(b"tomografia \x87.dcm", A).add(b"\xff\xfe\x80.dcm", B, flags=0x800).bytes()
    assert [reason for _, reason in entries_of(data)] == [None, None]


@pytest.mark.parametrize(
    "name",
    [
        b"a\0b.dcm",
        b"a\r\nX: y.dcm",
        b"\x1b[31mred.dcm",
        b"n" * 60_000,
        b"",
        b".",
        b"/",
        "\u202egpj.dcm".encode(),
    ],
)
def test_zb_16_17_18_names_that_hurt_to_print(name: bytes) -> None:
    ((shown, reason),) = entries_of(Builder().add(name, A).bytes())
    assert reason is None
    assert 0 < len(shown) < 300


def test_zb_19_a_header_with_another_name_than_the_directory() -> None:
    data = Builder().add(b"a.dcm", A, local_name=b"x.dcm").add(b"b.dcm", B).bytes()
    assert refusal(data) == "ZIP_HEADER_MISMATCH"
    assert refusal(archive().replace(LOCAL, b"PK\x03\x05", 1)) == "ZIP_HEADER_MISMATCH"


@pytest.mark.parametrize("size", [0, 100, len(A) - 1, len(A) + 1, 0xFFFFFFF0])
@pytest.mark.parametrize("method", [0, 8])
def test_zb_20_21_sizes_that_lie(size: int, method: int) -> None:
    found = dict(entries_of(good_and(Builder().add(b"a.dcm", A, size=size, method=method))))
    assert found["a.dcm"] in {"ZIP_HEADER_MISMATCH", "ZIP_BOMB"}
    assert found["b.dcm"] is None


def test_zb_20_header_and_directory_with_different_sizes() -> None:
    data = bytearray(archive())
    struct.pack_into("<L", data, 22, len(A) - 2)
    assert entries_of(bytes(data)) == [("a.dcm", "ZIP_HEADER_MISMATCH"), ("b.dcm", None)]


def test_zb_22_a_wrong_checksum() -> None:
    assert entries_of(good_and(Builder().add(b"a.dcm", A, crc=1))) == [("a.dcm", "ZIP_CRC"), ("b.dcm", None)]


def test_zb_22_a_byte_that_flipped() -> None:
    data = bytearray(archive(method=zipfile.ZIP_STORED))
    data[3000] ^= 1  # a pixel: no structure is hurt
    assert entries_of(bytes(data)) == [("a.dcm", "ZIP_CRC"), ("b.dcm", None)]


def test_zb_23_24_25_an_archive_that_was_cut() -> None:
    data = archive()
    for cut in range(4, len(data)):
        assert refusal(data[:cut]) in {"ZIP_TRUNCATED", "ZIP_AMBIGUOUS"}, cut
    for start in (1, 10, len(data) // 2):
        assert refusal(data[start:]) in {"ZIP_TRUNCATED", "ZIP_HEADER_MISMATCH"}
    assert refusal(data[:500] + data[600:]) == "ZIP_TRUNCATED"


def test_zb_26_a_program_before_the_archive_is_noted() -> None:
    data = b"MZ" + b"\x90" * 3000 + archive()
    members = list(Archive(io.BytesIO(data)).members())
    assert [member.notes for member in members] == [("PREFIX_DATA",)] * 2
    assert entries_of(data) == GOOD_ENTRIES
    verdict = next(Archive(io.BytesIO(data)).members()).scan()
    assert verdict.notes == ("PREFIX_DATA",)


def test_zb_26_offsets_may_count_the_program_already() -> None:
    stream = io.BytesIO(b"#!/bin/sh\n" * 10)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as out:
        out.writestr("a.dcm", A)
    assert entries_of(stream.getvalue()) == [("a.dcm", None)]
    assert next(Archive(stream).members()).notes == ("PREFIX_DATA",)


def test_zb_27_28_two_ends_and_two_archives() -> None:
    empty_end = END + bytes(18)
    first, second = archive({"a.dcm": A}), archive({"b.dcm": B})
    assert refusal(first + empty_end) == "ZIP_AMBIGUOUS"
    assert refusal(first + first[first.rindex(END) :]) == "ZIP_AMBIGUOUS"
    assert refusal(first + second) == "ZIP_AMBIGUOUS"
    assert refusal(b"junk" + first + second) == "ZIP_AMBIGUOUS"


def test_zb_27_an_end_within_the_comment_of_another() -> None:
    built = Builder().add(b"a.dcm", A)
    assert entries_of(built.bytes(comment=b"a comment")) == [("a.dcm", None)]
    assert refusal(built.bytes(comment=END + bytes(18))) == "ZIP_AMBIGUOUS"
    assert refusal(built.bytes(comment=END + bytes(30))) == "ZIP_AMBIGUOUS"
    assert refusal(built.bytes() + b"\0") == "ZIP_AMBIGUOUS"


def test_zb_28_a_member_that_the_directory_does_not_list() -> None:
    hidden = archive({"hidden.dcm": B})
    hidden = hidden[: hidden.index(CENTRAL)]
    between = Builder().add(b"a.dcm", A, behind=hidden).add(b"b.dcm", B)
    assert refusal(between.bytes()) == "ZIP_AMBIGUOUS"
    assert refusal(Builder().add(b"a.dcm", A, behind=b"\0\0" + hidden).bytes()) == "ZIP_AMBIGUOUS"
    first = Builder()
    first.body = hidden
    assert refusal(first.add(b"a.dcm", A).bytes()) == "ZIP_AMBIGUOUS"
    assert entries_of(Builder().add(b"a.dcm", A, behind=bytes(100)).bytes()) == [("a.dcm", None)]


@pytest.mark.parametrize(
    ("flags", "method", "reason"),
    [
        (0x0001, 8, "ZIP_ENCRYPTED"),
        (0x0041, 8, "ZIP_ENCRYPTED"),
        (0x0001, 99, "ZIP_ENCRYPTED"),
        (0x0040, 8, "ZIP_ENCRYPTED"),
        (0x0020, 8, "ZIP_METHOD"),
        (0, 9, "ZIP_METHOD"),
        (0, 12, "ZIP_METHOD"),
        (0, 93, "ZIP_METHOD"),
        (0, 95, "ZIP_METHOD"),
    ],
)
def test_zb_29_30_31_encryption_and_methods_that_are_not_read(flags: int, method: int, reason: str) -> None:
    data = good_and(Builder().add(b"a.dcm", A, flags=flags, method=method, raw=deflate(A)))
    assert entries_of(data) == [("a.dcm", reason), ("b.dcm", None)]


@pytest.mark.parametrize(
    "raw", [b"\xff" * 500, deflate(A)[:-20], deflate(A) + b"more", b"", deflate(A) + bytes(300_000)]
)
def test_zb_32_a_member_that_cannot_be_inflated(raw: bytes) -> None:
    found = dict(entries_of(good_and(Builder().add(b"a.dcm", A, raw=raw))))
    assert found == {"a.dcm": "ZIP_DEFLATE" if raw else "ZIP_BOMB", "b.dcm": None}


def test_zb_33_seventy_thousand_entries() -> None:
    data = zip64(70_000)
    began = perf_counter()
    opened = Archive(io.BytesIO(data))
    assert next(iter(opened.members())).scan().accepted
    assert perf_counter() - began < 2 * HANG_S
    assert refusal(data, Limits(members=69_999)) == "ZIP_LIMIT"
    assert refusal(data, Limits(directory_bytes=1 << 20)) == "ZIP_LIMIT"


def test_zb_34_a_directory_of_another_size_or_count() -> None:
    built = Builder().add(b"a.dcm", A).add(b"b.dcm", B)
    for lie in (built.bytes(size=-1), built.bytes(size=1), built.bytes(size=46), built.bytes(count=1)):
        assert refusal(lie) in {"ZIP_AMBIGUOUS", "ZIP_TRUNCATED"}
    assert refusal(built.bytes(shift=7)) == "ZIP_TRUNCATED"
    assert refusal(built.bytes(shift=-7)) == "ZIP_OVERLAP"
    assert refusal(built.bytes(size=0x7FFFFFFF)) == "ZIP_LIMIT"


@pytest.mark.parametrize("field", ["locator", "record", "count", "size", "signature"])
def test_zb_35_a_64_bit_end_that_is_elsewhere_or_disagrees(field: str) -> None:
    """CVE-2025-8291: one reader looks where the locator points, another right before it."""
    data = bytearray(zip64(70_000))
    record, locator = data.rindex(b"PK\x06\x06"), data.rindex(b"PK\x06\x07")
    if field == "locator":
        struct.pack_into("<Q", data, locator + 8, record - 46)
    elif field == "record":
        struct.pack_into("<Q", data, record + 4, 45)
    elif field == "count":
        struct.pack_into("<Q", data, record + 32, 69_999)
    elif field == "size":
        struct.pack_into("<Q", data, record + 40, 46)
    else:
        data[record + 2] = 9
    assert refusal(bytes(data)) in {"ZIP_AMBIGUOUS", "ZIP_TRUNCATED"}


def test_zb_35_a_64_bit_value_that_is_missing() -> None:
    data = bytearray(archive({"a.dcm": A}))
    struct.pack_into("<L", data, data.index(CENTRAL) + 24, 0xFFFFFFFF)
    assert refusal(bytes(data)) == "ZIP_AMBIGUOUS"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (END + bytes(18), "ZIP_EMPTY"),
        (b"", "NOT_A_ZIP"),
        (bytes(range(256)) * 100, "NOT_A_ZIP"),
        (b"<!DOCTYPE html><title>Login</title>", "NOT_A_ZIP"),
        (archive({"a/": b"", "a/b/": b""}), "ZIP_EMPTY"),
    ],
    ids=["zb-36", "zb-37", "zb-38", "zb-39", "zb-40"],
)
def test_zb_36_to_40_nothing_to_ingest_is_no_success(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_zb_41_what_lies_beside_images() -> None:
    litter = ["__MACOSX/._a.dcm", "Thumbs.db", "autorun.inf", "DICOMDIR", "viewer/setup.exe", ".DS_Store"]
    data = archive({**dict.fromkeys(litter, b"MZ\x90\0 litter"), "a.dcm": A, "readme.txt": b"read me"})
    found = dict(entries_of(data))
    assert [found[name] for name in litter] == ["IGNORED_NAME"] * len(litter)
    assert found["a.dcm"] is None
    assert found["readme.txt"] == "NOT_DICOM"


def test_zb_41_an_instance_with_such_a_name_is_still_one() -> None:
    assert entries_of(archive({"DICOMDIR": A, "x.exe": B})) == [("DICOMDIR", None), ("x.exe", None)]


def test_zb_42_43_deep_paths_and_names_that_are_files_and_folders() -> None:
    deep = "d/" * 5_000 + "a.dcm"
    found = entries_of(archive({deep: A, "x": B, "x/": b"", "x/a.dcm": encode(make_ct(3))}))
    assert [reason for _, reason in found] == [None, None, None]


def test_zb_43_a_folder_with_content_is_a_member() -> None:
    assert entries_of(Builder().add(b"folder/", A).bytes()) == [("folder", None)]


def test_zb_44_data_descriptors() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            piece = bytes(data)  # type: ignore[call-overload]
            self.written += piece
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in GOOD.items():
            out.writestr(name, data)
    assert pipe.written[6] & 8
    assert entries_of(pipe.written) == GOOD_ENTRIES


def test_time_is_bounded_for_each_member() -> None:
    assert entries_of(archive(), replace(Limits(), member_s=-1)) == [
        ("a.dcm", "ZIP_LIMIT"),
        ("b.dcm", "ZIP_LIMIT"),
    ]


def test_an_instance_that_is_an_archive_as_well_is_an_instance() -> None:
    polyglot = archive({"x": b"y"})[:128].ljust(128, b"\0") + A[128:]
    assert entries_of(archive({"a.dcm": polyglot})) == [("a.dcm", None)]


def test_what_is_wrong_within_a_member_is_said_with_its_own_reason() -> None:
    data = archive({"cut.dcm": A[:-100], "empty": b"", "b.dcm": B})
    assert entries_of(data) == [("cut.dcm", "TRUNCATED"), ("empty", "EMPTY"), ("b.dcm", None)]


def test_any_seekable_source_will_do_however_little_it_gives_at_once() -> None:
    with Generated(A, 3, most=1000) as source:
        assert [member.scan().reason for member in Archive(source).members()] == [None] * 3


@pytest.mark.exhaustive
def test_ten_gigabytes_of_twenty_thousand_instances_take_flat_memory() -> None:
    data = encode(make_ct(size=512))
    with Generated(data, 20_000) as source:
        tracemalloc.start()
        try:
            accepted = sum(member.scan(digest=False).accepted for member in Archive(source).members())
            assert tracemalloc.get_traced_memory()[1] < FLAT_BYTES
        finally:
            tracemalloc.stop()
    assert accepted == 20_000


def test_a_version_of_zip_that_other_readers_do_not_read_concerns_its_member() -> None:
    data = bytearray(Builder().add(b"a.dcm", A).add(b"b.dcm", B).bytes())
    data[data.index(b"PK\x01\x02") + 6] = 127
    assert entries_of(bytes(data)) == [("a.dcm", "ZIP_METHOD"), ("b.dcm", None)]
