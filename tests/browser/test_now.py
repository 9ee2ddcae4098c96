"""The first page, of a box that runs and of one whose router does not."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Box, overflows, severe, shot
from tests.factories import make_ct

pytestmark = [pytest.mark.browser]


def test_one_glance_says_which_destination_is_dead_and_what_to_do(box: Box) -> None:
    box.send(make_ct(1, StudyInstanceUID="1.2.3.1"))
    page = box.page()
    expect(page.locator("h1")).to_have_text("archive não responde")
    expect(page.locator(".verdict")).to_contain_text("no disco")
    shot(page, "now-desktop")
    assert severe(page) == []


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_it_is_read_on_a_phone(box: Box, language: str) -> None:
    page = box.page(size=PHONE, language=language)
    assert page.locator("html").get_attribute("lang") == language
    assert severe(page) == []
    shot(page, f"now-phone-{language}")
    page.set_viewport_size({"width": 320, "height": 700})
    assert not overflows(page)
