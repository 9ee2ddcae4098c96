"""Connections, log, events, settings and diagnostics, on a box that runs with a dead destination."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Box, overflows, severe, shot
from tests.factories import make_ct

pytestmark = [pytest.mark.browser]

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
PAGES = ("/doctor", "/logs", "/events", "/configuration", "/diagnostics")


def log_file(root: Path) -> Path:
    return root / ".spool" / "log" / "router.log"


def write(box: Box, *lines: dict[str, Any]) -> None:
    """Lines as the router writes them, behind its own."""
    path = log_file(box.root)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    with path.open("a") as stream:
        for line in lines:
            stream.write(
                json.dumps({"time": now, "level": "INFO", "message": "association ended", **line}) + "\n"
            )


def test_the_dead_destination_is_tested_and_the_findings_come_as_they_are_found(box: Box) -> None:
    page = box.page()
    page.goto("/doctor?destination=archive")
    expect(page.locator(".peer.wanted h3")).to_have_text("archive")
    assert severe(page) == []
    shot(page, "doctor-desktop")
    page.get_by_role("button", name="Testar archive").click()
    expect(page.locator(".verdict[data-done=yes] h1")).to_have_text("Há problemas")
    failed = page.locator(".step.bad")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("recusou a porta 9")
    expect(failed).to_contain_text("O que fazer")
    expect(page.locator(".step", has_text="Não foi feito")).not_to_have_count(0)
    assert severe(page) == []
    shot(page, "doctor-run-desktop")


def test_everything_is_tested_with_the_table_of_contexts(box: Box) -> None:
    page = box.page(language="en")
    page.goto("/doctor")
    page.get_by_role("button", name="Test everything").click()
    page.locator(".verdict[data-done=yes]").wait_for(timeout=60_000)
    pacs = page.locator(".subject", has=page.get_by_role("heading", name=re.compile("^pacs")))
    expect(pacs.locator(".step", has_text="C-ECHO answered")).to_have_class(re.compile("ok"))
    pacs.locator("summary").first.click()
    expect(pacs.locator("tbody tr", has_text="CT Image Storage").first).to_be_visible()
    assert severe(page) == []
    shot(page, "doctor-all-desktop")
    again = box.page(size=PHONE, language="en")
    again.goto(page.url)
    assert severe(again) == []
    assert not overflows(again)
    shot(again, "doctor-all-phone")


def test_a_test_object_goes_out_only_where_somebody_asked_twice(box: Box) -> None:
    page = box.page()
    before = len(box.live.stored)
    page.goto("/doctor")
    peer = page.locator(".peer", has=page.get_by_role("heading", name="pacs"))
    peer.locator("summary").click()
    peer.get_by_role("button", name="Testar com envio").click()
    expect(page.locator(".step", has_text="PONTE^DOCTOR aceito")).to_be_visible()
    box.until(lambda: len(box.live.stored) == before + 1, "the test object")
    audit = (box.root / ".spool/log/audit.log").read_text().splitlines()
    assert any(json.loads(line)["action"] == "doctor-store" for line in audit)


def test_without_javascript_the_findings_come_by_reloading(box: Box) -> None:
    page = box.page(java_script_enabled=False)
    page.goto("/doctor")
    page.get_by_role("button", name="Testar archive").click()
    for _ in range(30):
        if page.locator(".verdict[data-done=yes]").count():
            break
        page.wait_for_timeout(300)
        page.reload()
    expect(page.locator(".step.bad")).to_contain_text("recusou a porta 9")


def test_the_log_is_live_is_filtered_and_survives_its_rotation(box: Box) -> None:
    write(box, {"association": "feed0001", "calling_ae_title": "CT1"})
    page = box.page()
    page.goto("/logs?association=feed0001")
    expect(page.locator(".line")).to_have_count(1)
    expect(page.locator("#pulse")).to_have_text("Ao vivo")
    write(box, {"association": "feed0002"}, {"association": "feed0001", "how": "released"})
    expect(page.locator(".line")).to_have_count(2)
    expect(page.locator(".line").first).to_contain_text("released")
    path = log_file(box.root)
    path.rename(path.with_name("router.log.1"))
    write(box, {"association": "feed0001", "how": "after the rotation"})
    expect(page.locator(".line").first).to_contain_text("after the rotation")
    page.get_by_role("button", name="Parar").click()
    write(box, {"association": "feed0001", "how": "while stopped"})
    page.get_by_role("link", name="Recarregar").click()
    expect(page.locator(".line").first).to_contain_text("while stopped")
    expect(page.locator(".line")).to_have_count(4)


def test_levels_parts_and_texts_are_filters(box: Box) -> None:
    write(
        box,
        {"level": "ERROR", "message": "destination does not take anything", "destination": "filter-a"},
        {"level": "INFO", "message": "destination is back", "destination": "filter-a"},
    )
    page = box.page()
    page.goto("/logs")
    page.select_option("#level", "ERROR")
    page.select_option("#part", "forwarder")
    page.fill("#text", "FILTER-A")
    page.get_by_role("button", name="Filtrar").click()
    expect(page.locator(".line")).to_have_count(1)
    expect(page.locator(".line.bad")).to_contain_text("filter-a")
    assert severe(page) == []
    page.goto("/logs")
    assert severe(page) == []
    shot(page, "logs-desktop")


def test_the_same_alarm_again_and_again_is_one_event(box: Box) -> None:
    alarm = {"level": "ERROR", "message": "destination does not take anything", "alarm": "DESTINATION_DOWN"}
    write(box, *[{**alarm, "destination": "grouped"}] * 3)
    page = box.page()
    page.goto("/events")
    row = page.locator(".happenings li", has_text="grouped")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Destino não recebe: grouped")
    expect(row).to_contain_text("3 vezes")
    page.get_by_role("link", name="Alarmes").click()
    expect(page.locator(".happenings li", has_text="Ação:")).to_have_count(0)
    assert severe(page) == []
    shot(page, "events-desktop")


def test_markup_in_the_log_and_in_titles_is_text(box: Box) -> None:
    """NET-11: what a peer calls itself is shown, never run."""
    write(
        box,
        {"calling_ae_title": EVIL, "association": EVIL, "reason": EVIL},
        {"level": "ERROR", "alarm": EVIL, "destination": EVIL, "message": EVIL},
    )
    page = box.page()
    for path in ("/logs", "/events", f"/logs?text={EVIL[:40]}", f"/doctor?destination={EVIL}"):
        page.goto(path)
        page.wait_for_load_state("load")
        assert page.evaluate("window.hacked") is None, path
    page.goto("/events")
    expect(page.locator("main")).to_contain_text("<script>")
    page.goto("/logs")
    write(box, {"reason": EVIL, "association": "live-xss"})
    expect(page.locator(".line", has_text="live-xss")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


def test_a_calling_ae_title_of_markup_is_text_wherever_it_is_shown(box: Box) -> None:
    """NET-11."""
    title = "<img/src=x>\"'&"
    box.send(make_ct(1, StudyInstanceUID="1.2.50.1"), calling=title)
    page = box.page()
    for path in ("/doctor", "/logs?text=img", "/events"):
        page.goto(path)
        assert page.locator("main img").count() == 0, path
    page.goto("/doctor")
    expect(page.locator(".peer h3", has_text="<img/src=x>")).to_be_visible()
    expect(page.get_by_role("button", name=f"Testar {title}@127.0.0.1")).to_be_visible()
    assert severe(page) == []


def test_settings_say_where_each_value_comes_from_and_hide_what_is_secret(box: Box) -> None:
    page = box.page()
    page.goto("/configuration")
    for group in page.locator("details.group").all():
        group.locator("summary").click()
    row = page.locator("tr", has=page.get_by_role("rowheader", name="dicom_root"))
    expect(row).to_contain_text("ambiente DICOM_ROOT")
    row = page.locator("tr", has=page.get_by_role("rowheader", name="studies.quiet_s"))
    expect(row).to_contain_text("YAML")
    row = page.locator("tr", has=page.get_by_role("rowheader", name="limits.associations", exact=True))
    expect(row).to_contain_text("padrão")
    assert "$argon2" not in page.content()
    assert severe(page) == []
    shot(page, "configuration-desktop")


def test_a_destination_is_paused_and_resumed_from_settings(box: Box) -> None:
    page = box.page()
    page.goto("/configuration")
    peer = page.locator(".peer", has=page.get_by_role("heading", name="pacs"))
    peer.get_by_role("button", name="Pausar").click()
    expect(page.locator(".flash")).to_contain_text("pacs está em pausa")
    peer.get_by_role("button", name="Retomar").click()
    expect(page.locator(".flash")).to_contain_text("pacs voltou a receber")
    expect(peer.get_by_role("button", name="Pausar")).to_be_visible()


def test_a_part_is_restarted_after_a_second_thought(box: Box) -> None:
    page = box.page()
    page.goto("/configuration")
    peer = page.locator(".peer", has=page.get_by_role("heading", name="encaminhamento"))
    peer.locator("summary").click()
    peer.get_by_role("button", name="Sim, reiniciar encaminhamento").click()
    expect(page.locator(".flash.ok")).to_contain_text("O encaminhamento foi reiniciado")


def test_the_bundle_is_downloaded(box: Box, tmp_path: Path) -> None:
    page = box.page()
    page.goto("/diagnostics")
    assert severe(page) == []
    shot(page, "diagnostics-desktop")
    with page.expect_download(timeout=90_000) as begun:
        page.get_by_role("button", name="Criar e baixar").click()
    begun.value.save_as(tmp_path / "bundle.zip")
    data = (tmp_path / "bundle.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {"configuration.json", "doctor.json", "CONTENTS.json"} <= set(archive.namelist())
        assert archive.testzip() is None
        assert all(b"argon2id" not in archive.read(name) for name in archive.namelist())


def test_a_viewer_looks_and_changes_nothing(box: Box) -> None:
    page = box.page(role="viewer")
    for path in PAGES:
        page.goto(path)
        assert page.locator("main form[method=post]").count() == 0, path
    answer = page.request.post("/doctor/run", form={"name": "archive"}, headers={"origin": box.url})
    assert answer.status == 403


def test_nobody_is_asked_whom_the_configuration_does_not_have(box: Box) -> None:
    page = box.page()
    page.goto("/doctor")
    button = page.get_by_role("button", name="Testar archive")
    button.locator("xpath=..").locator("input[name=name]").evaluate(
        "one => one.value = 'dicom://X@192.0.2.1:104'"
    )
    button.click()
    expect(page.locator("h1")).to_have_text("Não existe")


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_they_are_read_on_a_phone(box: Box, language: str) -> None:
    page = box.page(size=PHONE, language=language)
    for path in PAGES:
        page.goto(path)
        assert severe(page) == [], path
        assert not overflows(page), path
        shot(page, f"{path[1:]}-phone-{language}")


def test_log_and_events_are_there_while_the_router_is_not(box: Box) -> None:
    write(box, {"association": "still-there"})
    box.stop_router()
    try:
        page = box.page()
        page.goto("/logs?association=still-there")
        expect(page.locator(".line")).to_have_count(1)
        page.goto("/configuration")
        expect(page.locator(".flash.off")).to_contain_text("O roteador não está em execução")
        assert page.locator("main form[method=post]").count() == 0
        _machine_says_nobody_listens(page)
    finally:
        box.start_router()


def _machine_says_nobody_listens(page: Page) -> None:
    page.goto("/doctor")
    page.locator(".peer").last.get_by_role("button", name=re.compile("^Testar")).first.click()
    expect(page.locator(".step.bad", has_text="Portas abertas")).to_contain_text("Ninguém escuta")
