"""A receipt on paper, as poppler and qpdf read it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.paper import ATTACHED_NAME, receipt_pdf
from custody.words import Language
from router.receipt import Maker, receipt, signed
from router.receipt_keys import ensure_key
from router.views import Views
from tests.factories import STUDY_UID, make_ct, uid
from tests.unit.router.organised import House
from tests.unit.router.test_receipt import AT, ZONE, settle_as
from tests.unit.router.test_views import plan, replace_pixels

pytestmark = pytest.mark.pdftools


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A study that has all there can be on paper."""
    house = House(tmp_path / "root")
    for number in range(1, 8):
        house.store.send(make_ct(number))
    house.store.send(replace_pixels(make_ct(1)))
    house.complete()
    plan(house, "cloud", "pacs-of-the-other-hospital")
    at = house.day()
    copy = {"sent_as": uid("copy"), "sent_sha256": bytes(32), "sent_syntax": "1.2.840.10008.1.2"}
    settle_as(
        house, "cloud",
        {"state": "sent", "sent_at": at, "status": 0, **copy},
        {"state": "refused", "status": 0xA900, "detail": "no"},
        {"state": "given_up", "status": 0xA700},
        {"state": "skipped", "detail": "It was there already"},
        {"state": "skipped", "detail": "Dismissed by hand"},
    )  # fmt: skip
    settle_as(house, "pacs-of-the-other-hospital", *[{"state": "sent", "sent_at": at, "status": 0}] * 7)
    house.destinations.confirmed |= {1}
    house.remove()
    yield house
    house.close()


def drawn(house: House, path: Path, language: Language) -> bytes:
    key = ensure_key(house.root)
    with Views(house.root) as views:
        maker = Maker("Ponte 0.1.0", "STORESCP", key.public.id)
        found = receipt(views, STUDY_UID, maker, at=AT, with_patient=True)
    path.write_bytes(receipt_pdf(found, key, language=language, zone=ZONE))
    return signed(found, key)


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("pt-BR", ["Requer atenção", "2 de 7 imagens", "recusada · A900", "já estava lá", "removida 20"]),
        (
            "en",
            ["Needs attention", "2 of 7 images", "refused · A900", "dismissed by a person", "UID_CONFLICT"],
        ),
    ],
)
def test_the_paper_says_what_the_json_says(
    house: House, tmp_path: Path, language: Language, told: list[str]
) -> None:
    path = tmp_path / "receipt.pdf"
    attached = drawn(house, path, language)
    text = run("pdftotext", "-layout", path, "-")
    for words in (*told, "CANARIO^Conceição", STUDY_UID, make_ct(7).SOPInstanceUID, "00" * 32):
        assert words in text, words
    run("pdfdetach", "-savefile", ATTACHED_NAME, "-o", tmp_path / "out.json", path)
    assert (tmp_path / "out.json").read_bytes() == attached
    assert "No syntax or stream encoding errors" in run("qpdf", "--check", path)


def test_a_line_for_each_of_very_many_destinations_is_on_some_page(tmp_path: Path) -> None:
    house = House(tmp_path / "root")
    house.store.send(make_ct(1))
    names = [f"destination-{number:03}" for number in range(150)]
    plan(house, *names)
    drawn(house, tmp_path / "receipt.pdf", "en")
    house.close()
    text = run("pdftotext", "-layout", tmp_path / "receipt.pdf", "-")
    assert all(f"{name} · waiting" in text for name in names)
    assert "3 of 3" in text
