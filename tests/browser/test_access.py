"""Log in, choose a language, and out again, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, OPERATOR, PHONE, Box, overflows, severe, shot

pytestmark = [pytest.mark.browser]


@pytest.mark.parametrize(("language", "size"), [("pt-BR", DESKTOP), ("en", PHONE)])
def test_who_has_the_password_gets_where_it_was_going(box: Box, language: str, size: tuple[int, int]) -> None:
    page = box.page(role="", language=language, size=size)
    page.goto("/studies?state=failed")
    expect(page.locator("#password")).to_be_focused()
    assert severe(page) == []
    shot(page, f"login-{language}")
    page.set_viewport_size({"width": 320, "height": 700})
    assert not overflows(page)
    page.fill("#password", "no password of this box")
    page.keyboard.press("Enter")
    expect(page.locator("[role=alert]")).to_be_visible()
    assert severe(page) == []
    page.fill("#password", OPERATOR)
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies?state=failed")


def test_the_language_is_chosen_and_stays(box: Box) -> None:
    page = box.page(language="pt-BR")
    page.goto("/studies")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Studies")
    page.goto("/quarantine")
    expect(page.locator("h1")).to_have_text("Quarantine")
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_viewer_sees_all_and_has_no_button_that_acts(box: Box) -> None:
    page = box.page(role="viewer")
    for path in ("/", "/studies", "/quarantine"):
        page.goto(path)
        actions = page.locator("main form[method=post]")
        assert actions.count() == 0


def test_logged_out_the_open_page_says_nothing_any_more(box: Box) -> None:
    page = box.page()
    other = page.context.new_page()
    other.goto("/studies")
    other.get_by_role("button", name="Sair").click()
    expect(other.locator("#password")).to_be_visible()
    page.wait_for_url("**/login?next=%2F")


def test_what_is_not_there_says_so_in_words(box: Box) -> None:
    page = box.page()
    answer = page.goto("/nothing/at/all")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("Não existe")
    assert severe(page) == []
    shot(page, "not-found-desktop")
