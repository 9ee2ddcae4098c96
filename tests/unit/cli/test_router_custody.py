"""`ponte router receipt|verify|reconcile`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ponte.errors import DestinationUnavailable, InvalidRequest, StudyNotFound, TransientError
from router import reconciliation
from router.control import Control, Verb
from router.receipt_check import verify
from router.receipt_keys import ensure_key
from router.spool import Spool
from router.startup import SpoolLock
from tests.factories import STUDY_UID, make_ct, uid
from tests.unit.router.organised import House
from tests.unit.router.test_views import plan, settle

YAML = """
destinations:
  - {kind: dicom, name: pacs, host: 127.0.0.1, port: 1, ae_title: PACS}
  - {kind: s3, name: cloud, bucket: inbox-bucket}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a router that does not run: three images, of which two were sent."""
    for name in ("HTR_IP", "SCP_PORT", "SCP_AET", "TZ", "TARGET_HOST", "DICOM_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "dicom"
    root.mkdir()
    house = House(root)
    for number in range(1, 4):
        house.store.send(make_ct(number, AccessionNumber="CANARY-ACC"))
    house.complete()
    plan(house, "cloud", "pacs")
    settle(house, "pacs", "sent", "sent")
    house.close()
    (tmp_path / ".env").write_text(f"DICOM_ROOT={root}\nHTR_IP=127.0.0.1\n")
    (tmp_path / "router.yaml").write_text(YAML)
    return root


def ponte(*arguments: str) -> Result:
    """What is raised is for `main`, which has the exit code for it."""
    found = CliRunner().invoke(app, ["router", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_a_receipt_is_printed_signed_and_verifies(root: Path) -> None:
    printed = ponte("receipt", STUDY_UID, "--json")
    assert printed.exit_code == 0
    found = verify(printed.stdout.encode(), ensure_key(root).public)
    assert found["study"]["study_instance_uid"] == STUDY_UID
    assert found["made_by"]["ae_title"] == "STORESCP"
    assert "CANAR" not in printed.stdout


@pytest.mark.parametrize("study", [STUDY_UID, "CANARY-ACC", "canary-id-1"])
def test_a_study_is_named_by_what_is_its_own_alone(root: Path, study: str) -> None:
    said = ponte("receipt", study)
    assert said.exit_code == 0
    assert "ainda por enviar" in said.stdout
    assert "CANAR" not in said.stdout


def test_a_number_of_several_studies_or_of_none_is_refused_without_quoting_it(root: Path) -> None:
    house = House(root)
    house.store.send(make_ct(9, StudyInstanceUID=uid("another")))
    house.organise()
    house.close()
    with pytest.raises(InvalidRequest, match="2 studies") as several:
        ponte("receipt", "CANARY-ID-1")
    with pytest.raises(StudyNotFound) as none:
        ponte("receipt", "CANARY-ID")
    assert "CANAR" not in several.value.detail + none.value.detail


@pytest.mark.parametrize("name", ["receipt.json", "receipt.pdf"])
def test_a_file_verifies_until_somebody_changes_it(root: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert ponte("receipt", STUDY_UID, "-o", str(file), "--language", "en").exit_code == 0
    assert ponte("verify", str(file)).stdout.startswith(f"Genuine: study {STUDY_UID}")
    told = json.loads(ponte("verify", str(file), "--json").stdout)
    assert (told["genuine"], told["verdict"]["code"]) == (True, "UNDER_WAY")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"2026", b"2027", 1) if name.endswith("json") else content[:-9])
    changed = ponte("verify", str(file))
    assert changed.exit_code == 1
    assert "NOT GENUINE" in changed.stderr
    told = json.loads(ponte("verify", str(file), "--json").stdout)
    assert (told["genuine"], told["code"]) == (False, "NOT_GENUINE")


def test_another_box_verifies_by_the_public_key_it_was_given(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    ponte("receipt", STUDY_UID, "-o", str(file))
    public = root / ".spool/receipt.pub"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".env").write_text(f"DICOM_ROOT={tmp_path}/elsewhere\nHTR_IP=127.0.0.1\n")
    assert ponte("verify", str(file), "--key", str(public)).exit_code == 0
    with pytest.raises(InvalidRequest, match="--key"):
        ponte("verify", str(file))
    other = ensure_key(tmp_path / "elsewhere")
    wrong = ponte("verify", str(file))
    assert wrong.exit_code == 1
    assert other.public.id in wrong.stderr


def test_what_was_not_named_rightly_is_said(root: Path, tmp_path: Path) -> None:
    for arguments in (
        ("receipt", STUDY_UID, "-o", "receipt.txt"),
        ("reconcile",),
        ("reconcile", STUDY_UID, "--since", "2026-01-01"),
        ("reconcile", "--since", "yesterday"),
        ("reconcile", STUDY_UID, "--destination", "nobody", "--config", "router.yaml"),
        ("reconcile", STUDY_UID, "--destination", "cloud", "--config", "router.yaml"),
    ):
        with pytest.raises(InvalidRequest):
            ponte(*arguments)


class Told:
    """A catalogue that has all but what it was told to lack."""

    def __init__(self, *lacking: int) -> None:
        self._there = {make_ct(number).SOPInstanceUID for number in range(1, 4) if number not in lacking}

    def instances(self, study_instance_uid: str, series_instance_uid: str = "") -> set[str]:
        return self._there


@pytest.fixture
def lacking_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.catalogue.open_catalogue", lambda target: Told(1))


def reconciled(*arguments: str) -> tuple[int, dict[str, Any]]:
    said = ponte("reconcile", "--config", "router.yaml", "--json", *arguments)
    return said.exit_code, json.loads(said.stdout)


def test_what_a_destination_lacks_is_said_in_words_and_by_exit_code(
    root: Path, lacking_the_first: None
) -> None:
    code, told = reconciled(STUDY_UID)
    (one,) = told["results"]
    assert (code, one["words"], one["open"]) == (1, "1 of 3 arrived", 1)
    assert (one["missing"], one["resent"]) == ([make_ct(1).SOPInstanceUID], None)
    assert [each["destination"] for each in told["not_asked"]] == ["cloud"]
    said = ponte("reconcile", "--config", "router.yaml", "--since", "2026-01-01")
    assert "1 of 3 arrived, 1 of them not confirmed yet" in said.stdout
    assert "cloud was not asked" in said.stderr


def test_what_is_missing_is_sent_again_while_no_router_runs(root: Path, lacking_the_first: None) -> None:
    code, told = reconciled(STUDY_UID, "--resend")
    assert (code, told["results"][0]["resent"]) == (1, 1)
    code, told = reconciled(STUDY_UID, "--resend")
    assert (told["results"][0]["open"], told["results"][0]["resent"]) == (2, None), "it waits"


def test_what_is_not_here_any_more_cannot_be_sent_again(root: Path, lacking_the_first: None) -> None:
    house = House(root)
    house.destinations.confirmed |= {1}
    house.remove()
    house.close()
    said = ponte("reconcile", STUDY_UID, "--config", "router.yaml", "--resend")
    assert "0 of the missing 1 go again; 1 are not here any more" in said.stdout


def test_nothing_to_compare_is_said(root: Path, lacking_the_first: None) -> None:
    code, told = reconciled("--since", "2999-01-01")
    assert (code, told["results"]) == (0, [])


def test_a_destination_that_does_not_answer_is_no_success(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def instances(self, study_instance_uid: str, series_instance_uid: str = "") -> set[str]:
            raise DestinationUnavailable("The peer cannot be reached for C-FIND")

    monkeypatch.setattr("router.catalogue.open_catalogue", lambda target: Away())
    code, told = reconciled(STUDY_UID)
    (one,) = told["results"]
    assert (code, one["error"], one["complete"], one["words"]) == (3, "PACS_ERROR", False, "")


@contextmanager
def running(root: Path, resend: Callable[..., Mapping[str, Any]] | None) -> Iterator[None]:
    """As much of a router as has the spool, and answers on its socket where it has the verb."""
    spool = Spool(root)
    lock = SpoolLock(spool)
    verbs = {} if resend is None else {"resend": Verb(resend, {"number": int, "destination": str})}
    control = Control(spool.folder, verbs)
    control.start()
    try:
        yield
    finally:
        control.stop(5)
        lock.release()


def test_a_router_that_runs_is_asked_to_send_again(root: Path, lacking_the_first: None) -> None:
    asked = []

    def resend(number: int, destination: str) -> Mapping[str, Any]:
        asked.append((number, destination))
        return {"resent": 1}

    with running(root, resend):
        _, told = reconciled(STUDY_UID, "--resend")
    assert (asked, told["results"][0]["resent"]) == ([(1, "pacs")], 1)


def test_a_router_that_cannot_be_asked_is_not_passed_by(root: Path, lacking_the_first: None) -> None:
    with running(root, None), pytest.raises(InvalidRequest, match="no such verb"):
        reconciliation.send_again(root, "pacs", [1])
    lock = SpoolLock(Spool(root))
    with pytest.raises(TransientError) as refused:
        reconciliation.send_again(root, "pacs", [1])
    lock.release()
    assert refused.value.code == "NOT_ASKED"
    _, told = reconciled(STUDY_UID)
    assert told["results"][0]["open"] == 1, "nothing was changed behind its back"
