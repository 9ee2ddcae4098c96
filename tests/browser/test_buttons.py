"""Each button's effect, on a router that runs: what it says is what happened."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import Page, expect

from router.controlclient import call
from router.views import StudyDelivery
from tests.browser.conftest import Box, shot
from tests.factories import make_ct

pytestmark = [pytest.mark.browser]


@pytest.fixture
def page(box: Box) -> Page:
    return box.page(java_script_enabled=False)


@pytest.fixture
def uid(box: Box, request: pytest.FixtureRequest) -> str:
    """A study of two images of this test's own, which the live destination has and the dead one has not."""
    found = f"1.2.60.{sum(map(ord, request.node.name))}"
    box.send(
        *(make_ct(number, StudyInstanceUID=found, SOPInstanceUID=f"{found}.{number}") for number in (1, 2))
    )
    box.until(lambda: is_organised(box, found), "the study at the live destination, and in its folder")
    return found


def is_organised(box: Box, uid: str) -> bool:
    with box.views() as views:
        study = views.study(uid)
    return study is not None and bool(study.folder) and at(box, uid, "pacs").sent == 2


def at(box: Box, uid: str, name: str) -> StudyDelivery:
    nothing = StudyDelivery(name, 0, 0, 0, 0, 0, 0)
    with box.views() as views:
        study = views.study(uid)
        return next(
            (one for one in (study.destinations if study else ()) if one.destination == name), nothing
        )


def press(page: Page, label: str, said: str) -> None:
    """A button, without a script: a form, and the page that follows says what happened."""
    page.get_by_role("button", name=label, exact=True).first.click()
    expect(page.locator(".flash")).to_contain_text(said)


def test_pause_holds_a_destination_and_resume_lets_it_go(box: Box, page: Page) -> None:
    page.goto("/")
    card = page.locator(".card", has_text="pacs")
    card.get_by_role("button", name="Pausar").click()
    expect(page.locator(".flash")).to_contain_text("pacs está em pausa")
    expect(page.locator(".card", has_text="pacs").locator(".state")).to_contain_text("Em pausa")
    shot(page, "now-paused-desktop")
    paused = {one["name"]: one["state"] for one in call(box.root, "status")["destinations"]}
    assert paused["pacs"] == "paused"
    page.locator(".card", has_text="pacs").get_by_role("button", name="Retomar").click()
    expect(page.locator(".flash")).to_contain_text("pacs voltou a receber")
    resumed = {one["name"]: one["state"] for one in call(box.root, "status")["destinations"]}
    assert resumed["pacs"] != "paused"


def test_try_now_says_how_many(box: Box, page: Page, uid: str) -> None:
    button = page.locator(".card", has_text="archive").get_by_role("button", name="Tentar agora")
    box.until(lambda: bool(page.goto("/")) and button.count() == 1, "the dead destination known to be dead")
    button.click()
    expect(page.locator(".flash")).to_contain_text("agora")
    assert '"action": "retry", "target": "archive", "outcome": "done"' in box.audit()


def test_resend_sends_it_again(box: Box, page: Page, uid: str) -> None:
    def sent_at() -> list[float]:
        with box.views() as views:
            found = [one for i in views.instances(uid) for one in i.deliveries if one.destination == "pacs"]
        return [one.sent_at for one in found if one.state == "sent" and one.sent_at is not None]

    box.until(lambda: len(sent_at()) == 2, "sent once")
    before = sent_at()
    page.goto(f"/studies/{uid}")
    page.select_option("#destination", "pacs")
    press(page, "Reenviar", "2 imagens serão reenviadas")

    def again() -> bool:
        now = sent_at()
        return len(now) == len(before) == 2 and min(now) > max(before)

    box.until(again, "sent again")


def test_complete_completes_and_says_so_when_it_was(box: Box, page: Page, uid: str) -> None:
    page.goto(f"/studies/{uid}")
    press(page, "Dar como completo", "dado como completo")
    with box.views() as views:
        study = views.study(uid)
    assert study is not None
    assert study.state == "complete"
    expect(page.get_by_role("button", name="Dar como completo")).to_have_count(0)


def test_prioritise_says_how_many_go_first(box: Box, page: Page, uid: str) -> None:
    box.until(lambda: at(box, uid, "archive").waiting == 2, "planned")
    page.goto(f"/studies/{uid}")
    press(page, "Enviar antes dos outros", "2 imagens passam à frente")


def refuse(box: Box, uid: str) -> None:
    """As if the dead destination had refused the study."""
    with closing(sqlite3.connect(box.root / ".spool" / "router.db", timeout=10)) as connection, connection:
        connection.execute(
            "UPDATE deliveries SET state = 'refused' WHERE destination = 'archive' AND number IN"
            " (SELECT number FROM instances WHERE study_instance_uid = ?)", (uid,),
        )  # fmt: skip


def test_what_was_refused_is_tried_again(box: Box, page: Page, uid: str) -> None:
    box.until(lambda: at(box, uid, "archive").waiting == 2, "planned")
    refuse(box, uid)
    said = page.get_by_text("2 imagens não foram aceitas por archive")
    box.until(lambda: bool(page.goto("/")) and said.count() == 1, "said on the first page")
    page.goto(f"/studies/{uid}")
    expect(page.locator(".verdict.bad")).to_contain_text("não foram aceitas")
    shot(page, "study-failed-desktop")
    press(page, "Tentar agora", "2 imagens serão tentadas agora")
    assert at(box, uid, "archive").refused == 0


def test_what_is_not_to_be_sent_any_more_stays_here(box: Box, page: Page, uid: str) -> None:
    box.until(lambda: at(box, uid, "archive").waiting == 2, "planned")
    refuse(box, uid)
    page.goto(f"/studies/{uid}")
    page.get_by_role("link", name="Não enviar mais…").click()
    shot(page, "dismiss-desktop")
    press(page, "Não enviar mais para archive", "2 imagens não serão mais enviadas")
    press(page, "Dar como completo", "completo")
    expect(page.locator(".verdict.warn")).to_contain_text("Alguém decidiu não enviar uma parte")
    expect(page.locator(".verdict")).to_contain_text("archive: 2 dispensadas")
    assert at(box, uid, "archive").refused == 0
    with box.views() as views:
        study = views.study(uid)
    assert study is not None
    assert study.kept == 2


def test_delete_asks_and_says_what_was_not_sent(box: Box, page: Page, uid: str) -> None:
    page.goto(f"/studies/{uid}")
    page.get_by_role("link", name="Apagar…").click()
    expect(page.locator("main")).to_contain_text("2 imagens ainda NÃO chegaram")
    page.get_by_role("link", name="Não, voltar").click()
    with box.views() as views:
        before = views.study(uid)
    assert before is not None
    assert before.kept == 2
    page.get_by_role("link", name="Apagar…").click()
    shot(page, "delete-desktop")
    press(page, "Apagar mesmo assim", "2 imagens foram apagadas")
    with box.views() as views:
        after = views.study(uid)
    assert after is not None
    assert after.kept == 0
    assert '"action": "delete_unsent"' in box.audit()
    assert uid not in box.audit()


def test_release_of_what_is_still_unsound_is_not_called_a_success(box: Box, page: Page) -> None:
    uid = "1.2.61.1"
    dataset = make_ct(1, StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1")
    del dataset.PixelData
    box.send(dataset, must_succeed=False)
    newest = max((box.root / "_INVALID_NO_PIXELS").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    page.goto(f"/quarantine/{newest.stem}")
    page.get_by_role("button", name="Liberar e encaminhar").click()
    expect(page.locator(".flash.bad, .flash.warn")).to_contain_text("Não foi")
    assert newest.exists()


def test_a_router_that_does_not_run_is_a_state_of_its_own(box: Box) -> None:
    page = box.page()
    box.stop_router()
    try:
        expect(page.locator("h1")).to_have_text("O roteador não está em execução")
        expect(page.locator(".verdict")).to_contain_text("systemctl start")
        shot(page, "now-off-desktop")
        page.goto("/studies")
        expect(page.locator("h1")).to_have_text("Estudos")
    finally:
        box.start_router()
    page.goto("/")
    expect(page.locator("h1")).not_to_have_text("O roteador não está em execução")
