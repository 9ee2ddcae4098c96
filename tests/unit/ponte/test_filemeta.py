"""Preamble and file meta of our own are what PS3.10 7.1 asks for."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian

from ponte.filemeta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, part10_head
from ponte.quiet import quiet
from ponte.uid import is_valid_uid


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1.02.3", "1." + "2" * 62])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_head_says_what_follows_and_its_length_is_right(uid: str, syntax: str) -> None:
    head = part10_head(CTImageStorage, uid, syntax)
    assert head[:132] == bytes(128) + b"DICM"
    meta = dcmread(BytesIO(head)).file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 132 - 12
    with quiet():  # leading zeros are tolerated
        assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CTImageStorage, uid)
    assert meta.TransferSyntaxUID == syntax
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert len(head) % 2 == 0
    assert is_valid_uid(IMPLEMENTATION_CLASS_UID)
