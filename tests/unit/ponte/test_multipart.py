"""multipart/related, however it is cut into chunks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponte.errors import BadAnswer, LimitExceeded
from ponte.multipart import PartLimits, boundary_of, iterate_parts

LIMITS = PartLimits(part_bytes=1000, total_bytes=10_000, parts=10)


def chunks(body: bytes, size: int = 7) -> Iterator[bytes]:
    return (body[i : i + size] for i in range(0, len(body), size))


def parts(body: bytes, *, size: int = 7, limits: PartLimits = LIMITS) -> list[bytes]:
    return [part.data for part in iterate_parts(chunks(body, size), b"X", limits)]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=abc", b"abc"),
        ('multipart/related; boundary="a b;c"; type="application/dicom"', b"a b;c"),
        ('multipart/related; type="application/dicom; boundary=no"; BOUNDARY=yes', b"yes"),
        ('multipart/related;boundary="a\\"b"', b'a"b'),
    ],
)
def test_the_boundary_is_found_quoted_or_not(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related",
        "multipart/related; boundary=",
        'x; boundary=""',
        f"x; boundary={'a' * 71}",
        "x; boundary=é",
    ],
)
def test_no_boundary_is_a_bad_answer(content_type: str) -> None:
    with pytest.raises(BadAnswer):
        boundary_of(content_type)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_parts_come_whole_whatever_the_chunks(size: int) -> None:
    body = b"--X\r\nA: 1\r\n\r\none\r\n--X\r\n\r\n\r\n--X\r\n\r\ntwo\r\n--not\r\n\r\n--X--\r\n"
    assert parts(body, size=size) == [b"one", b"", b"two\r\n--not\r\n"]


def test_a_preamble_and_padding_after_a_boundary_are_allowed() -> None:
    assert parts(b"text\r\n--X \t\r\n\r\none\r\n--X--") == [b"one"]


def test_content_length_is_used_where_it_is_true() -> None:
    assert parts(b"--X\r\nContent-Length: 10\r\n\r\n12\r\n--X\r\n9\r\n--X--\r\n") == [b"12\r\n--X\r\n9"]


@pytest.mark.parametrize("length", [1, 2, 4, 5])
def test_a_content_length_that_lies_is_a_bad_answer(length: int) -> None:
    with pytest.raises(BadAnswer):
        parts(b"--X\r\nContent-Length: %d\r\n\r\nabc\r\n--X--\r\n" % length)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--X--\r\n",
        b"no boundary at all",
        b"--X\r\n\r\none",
        b"--X\r\n\r\none\r\n--X",
        b"--X\r\n\r\none\r\n--X\r\n",
        b"--X\r\nno colon\r\n\r\none\r\n--X--",
        b"--X\r\n\r\none\r\n--Xtra\r\n\r\ntwo\r\n--X--",
    ],
)
def test_what_is_cut_empty_or_malformed_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parts(body)


def test_every_cut_is_a_bad_answer() -> None:
    body = b"--X\r\nA: 1\r\n\r\none\r\n--X\r\nContent-Length: 3\r\n\r\ntwo\r\n--X--"
    for end in range(len(body)):
        with pytest.raises(BadAnswer):
            parts(body[:end])


@pytest.mark.parametrize(
    "limits", [PartLimits(99, 10_000, 10), PartLimits(1000, 150, 10), PartLimits(1000, 10_000, 1)]
)
@pytest.mark.parametrize("header", [b"", b"Content-Length: 100\r\n"])
def test_limits_are_kept(limits: PartLimits, header: bytes) -> None:
    part = b"--X\r\n" + header + b"\r\n" + b"a" * 100 + b"\r\n"
    with pytest.raises(LimitExceeded):
        parts(part * 2 + b"--X--", limits=limits)


@pytest.mark.parametrize("promised", [b"9" * 18, b"9" * 30, b"9" * 5000])
def test_what_no_memory_can_hold_is_refused(promised: bytes) -> None:
    limits = PartLimits(part_bytes=1 << 62, total_bytes=1 << 62, parts=10)
    with pytest.raises(LimitExceeded):
        parts(b"--X\r\nContent-Length: " + promised + b"\r\n\r\na\r\n--X--", limits=limits)


def test_endless_headers_are_refused() -> None:
    with pytest.raises((LimitExceeded, BadAnswer)):
        parts(b"--X\r\n" + b"A: b\r\n" * 100_000, size=4096, limits=PartLimits(10, 1 << 30, 10))


def test_a_part_is_handed_on_before_the_next_arrives() -> None:
    arrived = []

    def slowly() -> Iterator[bytes]:
        for chunk in (b"--X\r\n\r\none\r\n--X\r\n", b"\r\ntwo\r\n--X--\r\n"):
            arrived.append(chunk)
            yield chunk

    stream = iterate_parts(slowly(), b"X", LIMITS)
    assert next(stream).data == b"one"
    assert len(arrived) == 1


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.integers(1, 50), st.booleans())
def test_any_parts_come_back_as_they_were(values: list[bytes], size: int, with_length: bool) -> None:
    values = [value for value in values if b"--X" not in value] or [b""]
    head = [b"Content-Length: %d\r\n" % len(value) if with_length else b"" for value in values]
    body = b"".join(b"--X\r\n" + h + b"\r\n" + v + b"\r\n" for h, v in zip(head, values, strict=True))
    assert parts(body + b"--X--", size=size) == values
