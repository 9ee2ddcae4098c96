"""A real Orthanc gives back what it was given, byte for byte, whatever the transfer syntax."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import pydicom
import pytest

from infra.local.orthanc import Orthanc
from ponte.dicomweb import Credentials, DicomWebSource
from ponte.errors import AccessRefused, StudyNotFound
from ponte.instance import study_instance_uid

pytestmark = pytest.mark.orthanc
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
NAMES = (
    "CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm", "examples_jpeg2k.dcm",
    "examples_overlay.dcm", "examples_palette.dcm", "examples_ybr_color.dcm", "image_dfl.dcm",
    "liver_1frame.dcm",
)  # fmt: skip


def source_of(orthanc: Orthanc) -> DicomWebSource:
    assert orthanc.credentials is not None
    return DicomWebSource(orthanc.dicomweb_url, credentials=Credentials.from_json(orthanc.credentials))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_every_instance_comes_back_as_it_went_in(orthanc: Orthanc) -> None:
    sent: defaultdict[str, list[str]] = defaultdict(list)
    paths = [BUNDLED / name for name in NAMES]
    for path in paths:
        sent[str(study_instance_uid(path.read_bytes()))].append(digest(path.read_bytes()))
    orthanc.upload_files(paths)
    source = source_of(orthanc)

    studies = source.studies()

    assert set(sent) <= set(studies)
    for uid, files in sent.items():
        assert sorted(digest(fetched.data) for fetched in source.instances(uid)) == sorted(files)


def test_a_study_that_it_does_not_have_is_said_so(orthanc: Orthanc) -> None:
    source = source_of(orthanc)
    with pytest.raises(StudyNotFound):
        next(source.instances("1.2.3.4.5"))


def test_a_wrong_password_is_refused_and_not_tried_again(orthanc: Orthanc) -> None:
    wrong = Credentials.from_json({"type": "basic", "username": "ponte", "password": "wrong"})
    with pytest.raises(AccessRefused):
        next(DicomWebSource(orthanc.dicomweb_url, credentials=wrong).instances("1.2.3.4.5"))
