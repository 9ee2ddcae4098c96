"""The first page, of a box that runs: what it says at a glance, and live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from ponte.quarantine import FolderQuarantine
from router.controlclient import call
from tests.browser.conftest import DESKTOP, PHONE, Box, overflows, severe, shot
from tests.factories import make_ct

pytestmark = [pytest.mark.browser]


@contextmanager
def connected(box: Box, title: str) -> Iterator[Association]:
    """A modality that is connected, and sends when it likes."""
    modality = AE(ae_title=title)
    modality.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = modality.associate("127.0.0.1", box.scp_port)
    assert association.is_established
    yield association
    association.release()


def test_one_glance_says_which_destination_is_dead_and_what_to_do(box: Box) -> None:
    box.send(make_ct(1, StudyInstanceUID="1.2.3.1", SOPInstanceUID="1.2.3.1.1"))
    page = box.page()
    expect(page.locator("h1")).to_have_text("archive não responde")
    expect(page.locator(".verdict")).to_contain_text("no disco")
    shot(page, "now-desktop")
    assert severe(page) == []


def test_what_arrives_is_counted_live_and_never_out_of_a_total(box: Box) -> None:
    """NET-11, FS-09: the sender's AE title is text and nothing else."""
    page = box.page()
    page.add_init_script("window.marked = true")
    page.goto("/")
    with connected(box, "<b>XSS</b>") as modality:
        for number in (1, 2):
            dataset = make_ct(number, StudyInstanceUID="1.2.3.2", SOPInstanceUID=f"1.2.3.2.{number}")
            assert modality.send_c_store(dataset).Status == 0
            count = page.locator(".arrivals .count")
            expect(count).to_have_text("1 imagem" if number == 1 else "2 imagens")
        expect(page.locator(".arrivals .sender strong")).to_have_text("<b>XSS</b>")
        assert page.locator(".arrivals b").count() == 0
        shot(page, "now-receiving-desktop")
        assert severe(page) == []
    expect(page.locator("main")).to_contain_text("Nenhum aparelho está enviando.")


def test_a_button_that_is_pressed_for_long_is_still_the_same(box: Box) -> None:
    """The page is drawn anew each second: none of that may swallow a click."""
    box.send(make_ct(1, StudyInstanceUID="1.2.3.3", SOPInstanceUID="1.2.3.3.1"))
    page = box.page()
    card = page.locator(".card", has_text="pacs")
    card.get_by_role("button", name="Pausar").hover()
    page.mouse.down()
    clock = page.locator("#pulse").text_content()
    for _ in range(2):
        expect(page.locator("#pulse")).not_to_have_text(clock or "")
        clock = page.locator("#pulse").text_content()
    page.mouse.up()
    expect(page.locator(".flash")).to_contain_text("pacs está em pausa")
    card.get_by_role("button", name="Retomar").click()
    expect(page.locator(".flash")).to_contain_text("pacs voltou a receber")


def test_all_is_well_is_said_when_it_is_and_not_before(box: Box) -> None:
    """What waits for a destination that is configured no more is nobody's, until somebody decides."""
    box.send(make_ct(1, StudyInstanceUID="1.2.3.4", SOPInstanceUID="1.2.3.4.1"))
    quarantine = FolderQuarantine(box.root)
    for kept in list(quarantine.list()):
        quarantine.purge(kept.id)
    box.configure("pacs")
    try:
        page = box.page(size=PHONE)
        expect(page.locator("h1")).to_contain_text("não está mais configurado", timeout=10_000)
        call(box.root, "dismiss", destination="archive")
        expect(page.locator("h1")).to_have_text("Tudo em ordem", timeout=10_000)
        expect(page.locator(".verdict.ok .level")).to_have_text("Em ordem")
        assert severe(page) == []
        shot(page, "now-well-phone")
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        shot(page, "now-well-desktop")
    finally:
        box.configure("pacs", "archive")


def test_without_javascript_it_reloads_by_itself(box: Box) -> None:
    page = box.page(java_script_enabled=False)
    expect(page.locator("h1")).to_be_visible()
    assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "15"


def test_a_change_is_told_to_who_cannot_see_it_and_the_rest_is_not(box: Box) -> None:
    page = box.page()
    said = page.locator("#said[role=status]")
    expect(said).to_have_text("")
    expect(page.locator("#pulse")).to_contain_text("Ao vivo")
    expect(said).to_have_text("")
    assert page.locator("#now [aria-live], #now [role=status]").count() == 0


def test_the_keyboard_alone_is_enough(box: Box) -> None:
    page = box.page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_it_is_read_on_a_phone(box: Box, language: str) -> None:
    page = box.page(size=PHONE, language=language)
    assert page.locator("html").get_attribute("lang") == language
    assert severe(page) == []
    shot(page, f"now-phone-{language}")
    page.set_viewport_size({"width": 320, "height": 700})
    assert not overflows(page)


def test_at_night_it_is_dark(box: Box) -> None:
    page = box.page(color_scheme="dark")
    for path, name in (("/", "now"), ("/studies", "studies"), ("/quarantine", "quarantine")):
        page.goto(path)
        assert severe(page) == []
        shot(page, f"{name}-dark-desktop")
