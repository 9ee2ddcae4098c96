from __future__ import annotations

from pathlib import Path

import pytest
import urllib3

from infra.local import demo_study
from infra.local.errors import LocalStackError
from infra.local.orthanc import Orthanc

pytestmark = pytest.mark.orthanc


def test_it_asks_for_its_password(tmp_path: Path) -> None:
    with Orthanc(tmp_path) as orthanc:
        assert orthanc.credentials is not None
        basic = urllib3.make_headers(basic_auth=f"{orthanc.username}:{orthanc.password}")

        assert urllib3.request("GET", f"{orthanc.dicomweb_url}/studies").status == 401
        assert urllib3.request("GET", f"{orthanc.dicomweb_url}/studies", headers=basic).status == 200
        assert orthanc.password not in (tmp_path / "orthanc.log").read_text()
        assert (tmp_path / "orthanc.json").stat().st_mode & 0o777 == 0o600


def test_an_uploaded_study_is_found_by_dicomweb_until_it_is_deleted(tmp_path: Path) -> None:
    files = demo_study.write(tmp_path / "study")[:2]
    with Orthanc(tmp_path / "orthanc", authenticate=False) as orthanc:
        address = f"{orthanc.dicomweb_url}/studies/{demo_study.STUDY_INSTANCE_UID}/instances"

        assert orthanc.upload_files(files) == 2
        assert len(urllib3.request("GET", address).json()) == 2

        orthanc.delete_study(demo_study.STUDY_INSTANCE_UID)
        assert urllib3.request("GET", f"{orthanc.dicomweb_url}/studies").json() == []


def test_what_is_no_dicom_is_refused(tmp_path: Path) -> None:
    with Orthanc(tmp_path) as orthanc, pytest.raises(LocalStackError, match="refused an instance"):
        orthanc.upload(b"not DICOM")
