"""Quarantine: what was put there by a router that runs, looked at, exported and removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ponte.quarantine import FolderQuarantine, QuarantineRecord
from tests.browser.conftest import PHONE, Box, overflows, severe, shot
from tests.factories import make_ct

pytestmark = [pytest.mark.browser]


def _quarantined(box: Box, uid: str) -> str:
    """Send an image, and one without pixels; the id of its entry."""
    good = make_ct(2, StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.2")
    dataset = make_ct(1, StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1", PatientName="CANARIO^Quarentena")
    del dataset.PixelData
    before = set((box.root / "_INVALID_NO_PIXELS").glob("*.json"))
    box.send(good, dataset, must_succeed=False)
    new = [*set((box.root / "_INVALID_NO_PIXELS").glob("*.json")) - before]
    assert len(new) == 1
    return new[0].stem


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_each_entry_says_why_it_is_there(box: Box, language: str) -> None:
    identity = _quarantined(box, f"1.2.50.{len(language)}")
    page = box.page(language=language)
    page.goto("/quarantine")
    expect(page.locator("tbody tr").first).to_contain_text("NO_PIXEL_DATA")
    expect(page.locator("tbody tr").first).to_contain_text("CT1")
    assert severe(page) == []
    shot(page, f"quarantine-desktop-{language}")
    page.goto(f"/quarantine/{identity}")
    expect(page.locator("#header ~ div table")).to_contain_text("CANARIO^Quarentena")
    assert severe(page) == []
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    shot(page, f"quarantined-phone-{language}")
    page.set_viewport_size({"width": 320, "height": 700})
    assert not overflows(page)


def test_a_viewer_sees_no_header_and_no_button(box: Box) -> None:
    identity = _quarantined(box, "1.2.50.11")
    page = box.page(role="viewer")
    page.goto(f"/quarantine/{identity}")
    assert "CANARIO^Quarentena" not in page.content()
    assert page.locator("main form").count() == 0
    assert page.goto(f"/quarantine/{identity}/export").status == 403  # type: ignore[union-attr]
    assert page.goto(f"/quarantine/{identity}/purge").status == 403  # type: ignore[union-attr]


def test_it_is_exported_as_it_came_and_removed_in_two_steps(box: Box) -> None:
    identity = _quarantined(box, "1.2.50.12")
    kept = (box.root / "_INVALID_NO_PIXELS" / f"{identity}.dcm").read_bytes()
    page = box.page()
    page.goto(f"/quarantine/{identity}")
    with page.expect_download() as download:
        page.get_by_text("Exportar").click()
    assert re.fullmatch(r"no_pixel_data-[0-9a-f]{12}\.dcm", download.value.suggested_filename)
    assert Path(download.value.path()).read_bytes() == kept
    page.get_by_text("Descartar…").click()
    expect(page.locator("h1")).to_have_text("Descartar em definitivo?")
    assert severe(page) == []
    shot(page, "purge-desktop")
    assert (box.root / "_INVALID_NO_PIXELS" / f"{identity}.dcm").exists()
    page.get_by_text("Sim, descartar").click()
    expect(page.locator(".flash")).to_contain_text("Descartada")
    assert not list((box.root / "_INVALID_NO_PIXELS").glob(f"{identity}*"))
    assert '"action": "purge", "target": "' + identity in box.audit()


def test_a_file_name_from_outside_is_text_and_nothing_else(box: Box) -> None:
    """FS-09: a file name that would be a script, and one that would be a path."""
    name = "../../<img src=x onerror=alert(1)>\u202egpj.dcm"
    record = QuarantineRecord(
        "NOT_DICOM", "No preamble", name=name, origin="<b>archive</b>.zip", sha256="0" * 64
    )
    identity = FolderQuarantine(box.root).keep(record, [b"no dicom at all"])
    page = box.page()
    page.goto(f"/quarantine/{identity}")
    expect(page.locator("main")).to_contain_text("../../<img src=x onerror=alert(1)>\ufffdgpj.dcm")
    assert page.locator("main img, main b").count() == 0
    with page.expect_download() as download:
        page.get_by_text("Exportar").click()
    assert re.fullmatch(r"not_dicom-[0-9a-f]{12}\.dcm", download.value.suggested_filename)
    page.goto("/quarantine?reason=NOT_DICOM")
    expect(page.locator("tbody")).to_contain_text("<b>archive</b>.zip")
    FolderQuarantine(box.root).purge(identity)
