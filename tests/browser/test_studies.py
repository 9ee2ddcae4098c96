"""Studies, and what can be done about one, on a router that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Dialog, expect

from router.receipt_check import verify
from router.receipt_keys import PUBLIC_NAME, read_public_key
from tests.browser.conftest import PHONE, Box, overflows, severe, shot
from tests.factories import make_colour, make_ct

pytestmark = [pytest.mark.browser]


def _sent(box: Box, uid: str, name: str, images: int = 3) -> None:
    """A study that is organised, and that the live destination has."""
    box.send(
        *(
            make_ct(
                number, size=128, StudyInstanceUID=uid, PatientName=name, SOPInstanceUID=f"{uid}.{number}"
            )
            for number in range(1, images + 1)
        )
    )

    def there() -> bool:
        with box.views() as views:
            study = views.study(uid)
            places = {one.destination: one for one in study.destinations} if study else {}
            return "pacs" in places and places["pacs"].sent == images

    box.until(there, "the study at the live destination")


def test_a_study_is_found_by_its_name_whatever_the_accents_and_shows_its_pictures(box: Box) -> None:
    _sent(box, "1.2.40.1", "CANARIO^Conceição")
    page = box.page()
    page.goto("/studies")
    page.fill("#text", "conceicao")
    page.locator(".search button[type=submit]").click()
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("CANARIO, Conceição")
    expect(row).to_contain_text("pacs: 3 enviadas")
    assert severe(page) == []
    shot(page, "studies-desktop")
    row.locator("a").click()
    expect(page.locator("h1")).to_have_text("CANARIO, Conceição")
    pictures = page.locator(".thumbs img")
    expect(pictures).to_have_count(3)
    drawn = "() => [...document.querySelectorAll('.thumbs img')].every((one) => one.naturalWidth > 0)"
    box.until(lambda: bool(page.evaluate(drawn)), "the pictures")
    assert severe(page) == []
    shot(page, "study-desktop")


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_they_are_read_on_a_phone(box: Box, language: str) -> None:
    _sent(box, "1.2.40.2", "SILVA^Maria Aparecida de Souza Albuquerque Cavalcanti")
    page = box.page(size=PHONE, language=language)
    for path, name in (
        ("/studies", "studies"),
        ("/studies/1.2.40.2", "study"),
        ("/studies/1.2.40.2/delete", "delete"),
    ):
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        page.goto(path)
        assert severe(page) == []
        shot(page, f"{name}-phone-{language}")
        page.set_viewport_size({"width": 320, "height": 700})
        assert not overflows(page), path


def test_names_from_outside_are_text_and_nothing_else(box: Box) -> None:
    """NET-11, FS-09: a patient's name and an AE title that would be a script."""
    name = "<script>alert(1)</script>^<svg onload=alert(1)>"
    box.send(make_colour(1), calling="<b>XSS</b>")
    box.send(
        make_ct(1, StudyInstanceUID="1.2.40.3", SOPInstanceUID="1.2.40.3.1", PatientName=name,
                StudyDescription="\"><svg onload=alert(1)>", AccessionNumber="'\"><b>"),
        calling="<b>XSS</b>",
    )  # fmt: skip
    box.until(lambda: box.has("1.2.40.3"), "the study")
    page = box.page()
    said: list[str] = []

    def spoken(dialog: Dialog) -> None:
        said.append("Content Security Policy: a script ran")
        dialog.dismiss()

    page.on("dialog", spoken)
    page.on("console", lambda message: said.append(message.text))
    for path in (
        "/",
        "/studies",
        "/studies/1.2.40.3",
        "/studies/1.2.40.3/delete",
        '/studies?text="><script>',
    ):
        page.goto(path)
        assert page.locator("main script, main b, main svg[onload]").count() == 0
    page.goto("/studies/1.2.40.3")
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
    assert [one for one in said if "Content Security Policy" in one] == []


def test_the_receipt_of_a_study_is_had_from_its_page_and_is_genuine(box: Box) -> None:
    _sent(box, "1.2.40.4", "CANARIO^Recibo")
    page = box.page()
    page.goto("/studies/1.2.40.4")
    for kind in ("PDF", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Recibo de custódia, {kind}").click()
        content = Path(download.value.path()).read_bytes()
        assert (
            verify(content, read_public_key(box.root / ".spool" / PUBLIC_NAME))["study"]["study_instance_uid"]
            == "1.2.40.4"
        )
        assert b"CANARIO" not in content
