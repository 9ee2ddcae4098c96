"""What technicians read, in both languages: the same things, commands that there are, links that lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.main import app
from tests.corpus import ROOT

PAGES = ("install.md", "troubleshooting.md", "upgrade.md", "checklist.md")
OLD_NAMES = {
    "DICOM_WADO_URL", "DEFAULT_MAX_WORKERS", "MAX_ALLOWED_WORKERS", "CREATE_LOG_URL", "ALLOWED_CLIENT_IPS",
    "LOG_LEVEL", "API_HOST", "API_PORT", "watch_dir", "work_dir", "archive_dir", "state_db", "local_ae_title",
    "local_port", "peer_host", "peer_port", "peer_ae_title", "max_pdu", "use_tls", "dedup_policy",
    "poll_interval_seconds", "wait_zip_complete_seconds", "send_batch_size", "delete_extracted_after_upload",
    "move_zip_to_archive", "enable_pynetdicom_debug", "HTR_IP", "SCP_PORT", "SCP_AET", "DICOM_ROOT",
    "TARGET_HOST", "TARGET_PORT", "TARGET_AET", "TZ", "folder", "patient_id", "patient_name", "study_uid",
    "study_date", "study_time", "modality", "created_at", "image_count", "study_description", "sent",
    "sent_at", "examID", "pacs_studies_iuid", "CodAutorizacao", "CodFaturamento", "CodProcedimento",
    "Authorization", "IntegrationToken", "UrlCallback", "anonymize", "cover_page", "max_workers",
    "studyIUID", "ImagensPDF",
}  # fmt: skip
"""Of the five old systems, by the requirements R1 to R5."""


def text(name: str, language: str) -> str:
    folder = ROOT / "docs" if language == "en" else ROOT / "docs/pt-BR"
    return (folder / name).read_text(encoding="utf-8")


def code(text: str) -> list[str]:
    """What is typed, without remarks."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line.replace("--lang en", "--lang pt-BR") for line in lines]


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_say_the_same(name: str) -> None:
    english, portuguese = text(name, "en"), text(name, "pt-BR")
    assert code(english) == code(portuguese)
    for mark in (r"^#+ ", r"^\|", r"^- ", r"^\d\. "):
        assert len(re.findall(mark, english, re.M)) == len(re.findall(mark, portuguese, re.M)), mark


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str, language: str) -> None:
    here = ROOT / ("docs" if language == "en" else "docs/pt-BR")
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text(name, language)):
        path = (here / target).resolve() if target else here / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), (target, anchor)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_option_is_there(name: str, language: str) -> None:
    command = typer.main.get_command(app)
    context = typer.Context(command)
    for line in re.findall(r"\bponte ([a-z][^`\n|]*)", text(name, language)):
        words = re.sub(r"\s+#.*", "", line).split()
        found = command.get_command(context, words[0])  # type: ignore[attr-defined]
        if found is None:
            assert words[0] not in ("router", "dashboard", "doctor", "watch"), line
            continue
        if len(words) > 1 and hasattr(found, "get_command") and words[1].isalpha():
            found = found.get_command(context, words[1])
        assert found is not None, line
        options = {option for one in found.params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_every_name_of_the_old_systems_has_a_place(language: str) -> None:
    rows = "\n".join(re.findall(r"^\|([^|]*)\|", text("upgrade.md", language), re.M))
    named = {part for span in re.findall(r"`([^`]+)`", rows) for part in re.split(r"[ .(){}:=]", span)}
    assert named >= OLD_NAMES


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_the_reader_is_warned_that_dicom_is_open(language: str) -> None:
    warning = {"en": "Plain DICOM is not encrypted", "pt-BR": "DICOM comum não é cifrado"}[language]
    assert all(warning in text(name, language) for name in ("install.md", "troubleshooting.md"))
    assert warning.lower() in text("checklist.md", language).lower()
