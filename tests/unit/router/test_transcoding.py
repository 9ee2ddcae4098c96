"""A destination that refuses a syntax gets the same pixels in one that it takes, or nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from ponte.destination import Outgoing
from ponte.errors import PermanentError
from ponte.scan import scan
from router.reception import Asked
from router.transcoding import transcoded
from tests.factories import encode, make_ct
from tests.told_scp import Conversation, Stored, told_scp
from tests.unit.router.forwarding import dicom, forwarding, receive, rows, states, wait_for
from tests.unit.router.store import FACTS, Store


def bundled(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(path).read_bytes()


def outgoing(data: bytes) -> Outgoing:
    verdict = scan([data])
    assert verdict.accepted, verdict
    return Outgoing(
        verdict.sop_instance_uid or "", data, verdict.sop_class_uid or "",
        verdict.transfer_syntax_uid or "", verdict.dataset_start or 0,
    )  # fmt: skip


def changed(data: bytes, target: pydicom.uid.UID) -> pydicom.Dataset:
    with cast("BinaryIO", TemporaryFile()) as stream:
        sent = transcoded(outgoing(data), target, stream)
        whole = b"".join(sent.chunks(sent.size_bytes))
    assert sent.transfer_syntax_uid == target
    assert scan([whole]).accepted
    return pydicom.dcmread(io.BytesIO(whole))


LOSSLESS = ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_rle_2frame.dcm"]


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_lossless_pixels_are_the_same_and_so_is_all_else(name: str, target: pydicom.uid.UID) -> None:
    data = bundled(name)
    before, after = pydicom.dcmread(io.BytesIO(data)), changed(data, target)
    assert np.array_equal(before.pixel_array, after.pixel_array)
    pixels = {"PixelData", "PlanarConfiguration", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
    for element in before:
        if element.keyword not in pixels:
            assert after[element.tag].value == element.value, element.keyword


def test_signed_samples_keep_their_sign() -> None:
    data = bundled("J2K_pixelrep_mismatch.dcm")
    after = changed(data, ExplicitVRLittleEndian)
    assert after.pixel_array.min() < 0 or after.PixelRepresentation == 0


@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_between_native_syntaxes_the_pixels_stay_byte_for_byte(target: pydicom.uid.UID) -> None:
    for name in ("CT_small.dcm", "MR_small_implicit.dcm", "image_dfl.dcm", "rtplan.dcm"):
        data = bundled(name)
        before, after = pydicom.dcmread(io.BytesIO(data)), changed(data, target)
        assert before.get("PixelData") == after.get("PixelData")
        assert [element.tag for element in before] == [element.tag for element in after]


def test_what_cannot_be_decoded_is_held_back() -> None:
    data = bundled("MR_small_RLE.dcm")
    broken = data[:-3000] + bytes(2500) + data[-500:]
    with pytest.raises(PermanentError):
        changed(broken, ExplicitVRLittleEndian)


def only(*syntaxes: str) -> Callable[[Conversation], list[Stored]]:
    """An SCP that takes these transfer syntaxes."""

    def serve(peer: Conversation) -> list[Stored]:
        from ponte_net import negotiation, pdu

        asked = peer.request()
        results = {
            one.context_id: (0 if one.transfer_syntaxes[0] in syntaxes else 4, one.transfer_syntaxes[0])
            for one in asked.contexts
        }
        body = negotiation.accept(asked, results, max_pdu=16384, roles={})[6:]
        peer.wire.send([pdu.control(pdu.ASSOCIATE_AC, body)])
        peer.wire.longest = 16384
        taken = []
        while (stored := peer.message()) is not None:
            taken.append(stored)
            peer.answer(stored)
        return taken

    return serve


def take(store: Store, data: bytes) -> None:
    """As `Store.send`, with the syntax that it has."""
    one = outgoing(data)
    reception = store.intake.begin(
        Asked(FACTS, one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
    )
    reception.write(data[one.dataset_start :])
    assert reception.finish() == 0


@pytest.mark.parametrize("accepted", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_is_refused_compressed_is_sent_uncompressed_and_the_others_as_they_are(
    accepted: str, tmp_path: Path
) -> None:
    """FI-14."""
    store = Store(tmp_path)
    take(store, bundled("MR_small_RLE.dcm"))
    receive(store, [make_ct(1)])
    take(store, bundled("MR_small_jp2klossless.dcm"))
    with told_scp(only(accepted)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(lambda: set(states(store, "pacs")) == {"sent"}, "sent")
    assert {one.dataset for one in scp.taken}
    store.close()


@pytest.mark.parametrize(
    ("allowed", "state"), [("never", "refused"), ("lossless", "refused"), ("any", "sent")]
)
def test_lossy_images_are_decoded_only_where_that_is_allowed(
    allowed: str, state: str, tmp_path: Path
) -> None:
    """FI-14."""
    data = bundled("SC_rgb_jpeg_dcmtk.dcm")
    assert outgoing(data).transfer_syntax_uid == JPEGBaseline8Bit
    store = Store(tmp_path)
    take(store, data)
    receive(store, [make_ct(1)])
    plain = only(ExplicitVRLittleEndian)
    with told_scp(plain) as scp, forwarding(store, dicom("pacs", scp.port, transcode=allowed)):
        wait_for(lambda: states(store, "pacs") == [state, "sent"], "the states")
    if state == "refused":
        assert "transfer syntax not supported" in rows(store, "pacs", "detail")[0][0]
    store.close()


def test_what_was_learned_of_a_destination_saves_asking_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    source = pydicom.dcmread(io.BytesIO(bundled("MR_small_RLE.dcm")))
    associations = []
    serve = only(ExplicitVRLittleEndian)

    def counted(peer: Conversation) -> list[Stored]:
        associations.append(peer)
        return serve(peer)

    with told_scp(counted) as scp, forwarding(store, dicom("pacs", scp.port, linger_s=0)):
        for number in range(3):
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number + 1}")
            take(store, encode(source))
            wait_for(lambda count=number + 1: states(store, "pacs") == ["sent"] * count, "sent")  # type: ignore[misc]
    # the first costs two: refused as it is, then sent; the others know better
    assert len(associations) <= 4
    store.close()
