from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from cli import demo
from cli.sources import SeveralStudies
from infra.local import demo_study
from ponte.errors import InvalidRequest
from tests.factories import STUDY_UID, make_dataset


def write(folder: Path, name: str, **attributes: Any) -> None:
    dataset = make_dataset(CTImageStorage, **attributes)
    dataset.save_as(folder / name, enforce_file_format=True)


def test_without_a_word_it_is_the_demo_study() -> None:
    assert demo.find_study(None, None, None) == demo.Wanted(str(demo_study.STUDY_INSTANCE_UID))


def test_a_folder_with_one_study_is_that_study(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm")

    wanted = demo.find_study(str(tmp_path), None, None)

    assert wanted == demo.Wanted(STUDY_UID, tmp_path.as_uri())


def test_of_several_studies_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm")
    write(tmp_path, "b.dcm", StudyInstanceUID="1.2.3")

    with pytest.raises(SeveralStudies, match=r"(?s)1\.2\.3 .*make demo STUDY=.* UID="):
        demo.find_study(str(tmp_path), None, None)
    assert demo.find_study(str(tmp_path), "1.2.3", None).study_instance_uid == "1.2.3"


def test_a_dicomweb_address_may_name_its_study(tmp_path: Path) -> None:
    credentials = {"type": "bearer", "token": "t"}
    auth_file = tmp_path / "auth.json"
    auth_file.write_text(json.dumps(credentials))

    wanted = demo.find_study("https://pacs.example/dicom-web/studies/1.2.3", None, auth_file)

    assert wanted == demo.Wanted("1.2.3", "https://pacs.example/dicom-web", credentials)


def test_a_folder_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        demo.find_study(str(tmp_path / "absent"), None, None)
