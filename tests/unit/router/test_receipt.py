"""What a receipt says of a study, and how it is found out that somebody changed one."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import stat
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from custody.paper import receipt_pdf
from custody.words import TEXTS
from ponte.errors import InvalidRequest, StudyNotFound
from router import delivery_rows
from router.delivery_rows import Result
from router.receipt import Maker, Receipt, canonical, receipt, signed
from router.receipt_check import MARK, NotGenuine, verify
from router.receipt_keys import KEY_NAME, PUBLIC_NAME, SigningKey, ensure_key, read_public_key
from router.savepoint import run_apart
from router.views import Views
from router.views_rows import STATES
from tests.factories import STUDY_UID, make_ct, uid
from tests.many_studies import make, study_uid
from tests.unit.router.organised import House
from tests.unit.router.store import dataset_of
from tests.unit.router.test_views import plan, replace_pixels, settle

MAKER = Maker("Ponte 0.1.0", "STORESCP", "")
AT = 1_769_200_000.25
ZONE = ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.close()


def made(house: House, *, with_patient: bool = False) -> Receipt:
    maker = Maker("Ponte 0.1.0", "STORESCP", ensure_key(house.root).public.id)
    with Views(house.root) as views:
        return receipt(views, STUDY_UID, maker, at=AT, with_patient=with_patient)


def states(found: Receipt) -> list[dict[str, str]]:
    return [{d["destination"]: d["state"] for d in one["destinations"]} for one in found["instances"]]


def settle_as(house: House, destination: str, *results: dict[str, Any]) -> None:
    """What the next in the queue became, with all that a result has."""

    def apply(database: Any) -> None:
        taken = delivery_rows.claim(database, destination, len(results), 1 << 40, house.day())
        each = [Result(one, **values) for one, values in zip(taken, results, strict=True)]
        delivery_rows.settle(database, destination, each)

    run_apart(house.store.committer, apply)


@pytest.fixture
def mixed(house: House) -> House:
    """Sent, refused, given up, waiting, removed, quarantined: one of each, complete."""
    for number in range(1, 6):
        house.store.send(make_ct(number))
    house.store.send(replace_pixels(make_ct(1)))
    house.complete()
    plan(house, "cloud", "pacs")
    settle(house, "pacs", "sent", "sent", "sent", "sent", "sent")
    settle_as(
        house,
        "cloud",
        {"state": "sent", "sent_at": house.day(), "status": 0},
        {"state": "refused", "status": 0xA900, "detail": "CANARIO^Conceição is not known here"},
        {"state": "given_up", "status": 0xA700},
        {"state": "skipped", "detail": "It was there already"},
    )
    house.destinations.confirmed |= {1}
    house.remove()
    return house


def test_a_receipt_has_what_became_of_every_instance(mixed: House) -> None:
    found = made(mixed)
    assert states(found) == [
        {"cloud": "sent", "pacs": "sent"},
        {"cloud": "refused", "pacs": "sent"},
        {"cloud": "given_up", "pacs": "sent"},
        {"cloud": "already_there", "pacs": "sent"},
        {"cloud": "waiting", "pacs": "sent"},
    ]
    first, second = found["instances"][:2]
    assert (first["state"], second["state"]) == ("removed", "kept")
    assert first["removed_at"] is not None
    assert (second["removed_at"], second["destinations"][0]["status"]) == (None, "A900")
    assert second["destinations"][0]["sent_at"] is None
    assert first["sha256"] == hashlib.sha256(dataset_of(make_ct(1))).hexdigest()
    assert [(one["reason"], one["is_open"]) for one in found["quarantined"]] == [("UID_CONFLICT", True)]


def test_the_verdict_names_all_that_is_not_well(mixed: House) -> None:
    found = made(mixed)
    assert found["verdict"] == {
        "code": "ATTENTION",
        "en": (
            "2 of 5 images confirmed by all their destinations; 2 refused by a destination, or given up;"
            " 1 in quarantine; 1 still to be sent or confirmed."
        ),
        "pt-BR": (
            "2 de 5 imagens confirmadas por todos os seus destinos; 2 recusada(s) por um destino, ou com o"
            " envio abandonado; 1 em quarentena; 1 ainda por enviar ou por confirmar."
        ),
    }
    assert found["totals"]["destinations"]["pacs"] == {"sent": 5}
    assert (found["totals"]["kept"], found["totals"]["removed"]) == (4, 1)


def test_a_study_that_is_whole_everywhere_is_said_to_be_delivered(house: House) -> None:
    house.store.send(make_ct(1))
    plan(house, "pacs")
    settle(house, "pacs", "sent")
    assert made(house)["verdict"]["code"] == "UNDER_WAY", "it is still open"
    house.complete()
    assert made(house)["verdict"]["code"] == "DELIVERED"
    house.confirm_all()
    house.remove()
    assert made(house)["verdict"]["code"] == "DELIVERED", "it outlives the images"


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        ("state = 'sent', wants_commitment = 1", "sent_awaiting_commitment", "UNDER_WAY"),
        ("state = 'committed', committed_at = 5", "committed", "DELIVERED"),
        ("state = 'skipped', detail = 'Dismissed by hand'", "dismissed", "ATTENTION"),
        ("state = 'waiting', committed_at = 5, sent_at = 4", "waiting", "UNDER_WAY"),
        ("state = 'sending'", "sending", "UNDER_WAY"),
        ("state = 'refused'", "refused", "ATTENTION"),
    ],
)
def test_nothing_is_called_delivered_that_a_destination_did_not_confirm(
    house: House, change: str, state: str, code: str
) -> None:
    house.store.send(make_ct(1))
    house.complete()
    plan(house, "pacs")
    house.store.committer.run(lambda database: database.run(f"UPDATE deliveries SET {change}"))
    found = made(house)
    assert (states(found), found["verdict"]["code"]) == ([{"pacs": state}], code)
    (there,) = found["instances"][0]["destinations"]
    assert (there["committed_at"] is not None) == (state == "committed")
    assert there["sent_at"] is None or state in ("sent_awaiting_commitment", "committed")


def test_what_nobody_decided_on_yet_is_under_way(house: House) -> None:
    """Before the planner came to it, and for a destination that is new in the configuration."""
    house.store.send(make_ct(1))
    house.complete()
    house.store.committer.run(lambda database: delivery_rows.configure(database, ["pacs"]))
    assert made(house)["verdict"]["code"] == "UNDER_WAY"
    plan(house, "pacs")
    settle(house, "pacs", "sent")
    assert made(house)["verdict"]["code"] == "DELIVERED"
    house.store.committer.run(lambda database: delivery_rows.configure(database, ["cloud", "pacs"]))
    found = made(house)
    assert (found["totals"]["delivered"], found["verdict"]["code"]) == (0, "UNDER_WAY")
    assert found["instances"][0]["is_undecided"]


def test_what_goes_nowhere_or_was_lost_needs_somebody(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    assert made(house)["totals"]["nowhere"] == 1
    plan(house, "pacs")
    missing = make_ct(1).SOPInstanceUID
    house.store.committer.run(lambda database: database.change_state(missing, "missing"))
    found = made(house)
    assert (found["totals"]["lost"], found["verdict"]["code"]) == (1, "ATTENTION")
    assert found["instances"][0]["missing_since"] is not None


def test_what_changed_on_the_disk_is_missing_and_in_quarantine(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    plan(house, "pacs")
    row = house.store.kept(make_ct(1).SOPInstanceUID)
    assert row is not None
    with house.store.spool.path_of(row.place).open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"zz")
    house.go_round()
    found = made(house)
    assert [one["state"] for one in found["instances"]] == ["missing"]
    assert [one["reason"] for one in found["quarantined"]] == ["DIGEST_MISMATCH"]
    assert found["verdict"]["code"] == "ATTENTION"


def test_what_was_lost_here_after_all_had_it_is_delivered(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    plan(house, "pacs")
    settle(house, "pacs", "sent")
    uid_of_it = make_ct(1).SOPInstanceUID
    house.store.committer.run(lambda database: database.change_state(uid_of_it, "missing"))
    found = made(house)
    assert (found["totals"]["lost"], found["totals"]["delivered"]) == (0, 1)


def test_of_what_came_again_the_last_counts(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    house.confirm_all()
    house.remove()
    house.store.send(make_ct(1))
    house.organise()
    found = made(house)
    assert [one["state"] for one in found["instances"]] == ["removed", "kept"]
    assert (found["totals"]["instances"], found["totals"]["kept"], found["totals"]["removed"]) == (1, 1, 0)


def test_a_copy_that_was_sent_has_its_own_digest(house: House) -> None:
    house.store.send(make_ct(1))
    plan(house, "pacs")
    copy = {"sent_as": uid("copy"), "sent_sha256": bytes(32), "sent_syntax": "1.2.840.10008.1.2"}
    settle_as(house, "pacs", {"state": "sent", "sent_at": 5.0, **copy})
    (there,) = made(house)["instances"][0]["destinations"]
    assert there["copy"] == {
        "sop_instance_uid": uid("copy"),
        "sha256": "00" * 32,
        "transfer_syntax_uid": "1.2.840.10008.1.2",
    }


def test_nobody_is_named_unless_it_is_asked_for(mixed: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = ensure_key(mixed.root)
    found = made(mixed)
    assert "CANAR" not in json.dumps(found)
    for content in (signed(found, key), receipt_pdf(found, key, language="pt-BR", zone=ZONE)):
        assert b"CANAR" not in content
    named = made(mixed, with_patient=True)
    assert named["study"]["patient"]["patient_name"] == "CANARIO^Conceição"
    assert "not known here" in named["instances"][1]["destinations"][0]["detail"]
    with Views(mixed.root) as views, pytest.raises(StudyNotFound) as missing:
        receipt(views, "CANARY-ID-1", MAKER, at=AT)
    assert "CANAR" not in missing.value.detail + caplog.text


# signatures


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return ensure_key(tmp_path)


def test_a_receipt_verifies_as_json_and_as_pdf(mixed: House) -> None:
    key = ensure_key(mixed.root)
    found = made(mixed)
    assert verify(signed(found, key), key.public) == found
    assert verify(signed(found, key) + b"\n", key.public) == found
    for language in TEXTS:
        assert verify(receipt_pdf(found, key, language=language, zone=ZONE), key.public) == found


def test_every_byte_that_is_changed_is_found_out(house: House) -> None:
    house.store.send(make_ct(1))
    key = ensure_key(house.root)
    content = signed(made(house), key)
    for at in range(len(content)):
        for changed in (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content[:at]):
            with pytest.raises(NotGenuine):
                verify(changed, key.public)


def test_every_byte_of_the_pdf_counts(house: House) -> None:
    """Also those of its pages, which could say something else than what is attached."""
    house.store.send(make_ct(1))
    key = ensure_key(house.root)
    content = receipt_pdf(made(house), key, language="en", zone=ZONE)
    for at in [*range(200), *range(400, len(content), 997)]:
        with pytest.raises(NotGenuine):
            verify(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], key.public)
    for changed in (content[:-1], content + b"\n%", content[: len(content) // 2], content.replace(MARK, b"")):
        with pytest.raises(NotGenuine):
            verify(changed, key.public)


def test_another_key_and_another_version_are_named(house: House, tmp_path: Path) -> None:
    house.store.send(make_ct(1))
    key, found = ensure_key(house.root), made(house)
    other = ensure_key(tmp_path / "other")
    with pytest.raises(NotGenuine) as wrong:
        verify(signed(found, key), other.public)
    assert (wrong.value.code, key.public.id in wrong.value.detail) == ("OTHER_KEY", True)
    with pytest.raises(NotGenuine, match="another key"):
        verify(receipt_pdf(found, key, language="en", zone=ZONE), other.public)
    later = {**found, "version": 2}
    with pytest.raises(NotGenuine) as unknown:
        verify(signed(later, key), key.public)
    assert unknown.value.code == "UNKNOWN_VERSION"


def test_a_forger_who_puts_his_own_key_in_is_found_out(house: House, tmp_path: Path) -> None:
    house.store.send(make_ct(1))
    key, forger = ensure_key(house.root), ensure_key(tmp_path / "forger")
    forged = deepcopy(made(house))
    forged["verdict"]["code"] = "DELIVERED"
    envelope = json.loads(signed(forged, forger))
    envelope["signature"]["key_id"] = key.public.id
    with pytest.raises(NotGenuine) as found:
        verify(canonical(envelope), key.public)
    assert found.value.code == "OTHER_KEY"
    envelope["signature"]["public_key"] = base64.b64encode(key.public.raw).decode()
    with pytest.raises(NotGenuine, match="does not fit"):
        verify(canonical(envelope), key.public)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"null", b"1e5", b'{"receipt":1}', b"[" * 100_000, b"\xff\xfe", b"%PDF-1.7\n",
        b'{"receipt":{"type":"ponte-custody-receipt","version":1},"signature":{"algorithm":"Ed25519"}}',
        b'{"a":1,"a":2}', b'{"receipt":NaN,"signature":{}}', b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n%PonteSignature:",
    ],
    ids=lambda content: repr(content[:20]),
)  # fmt: skip
def test_what_is_no_receipt_is_said_to_be_none(content: bytes, key: SigningKey) -> None:
    with pytest.raises(NotGenuine):
        verify(content, key.public)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = ensure_key(tmp_path)
    folder = tmp_path / ".spool"
    assert ensure_key(tmp_path).public.raw == first.public.raw
    assert stat.S_IMODE((folder / KEY_NAME).stat().st_mode) == 0o600
    assert read_public_key(folder / PUBLIC_NAME).id == first.public.id
    assert [path.name for path in sorted(folder.iterdir())] == [KEY_NAME, PUBLIC_NAME]
    assert "Private" not in repr(first)
    (folder / PUBLIC_NAME).unlink()
    assert ensure_key(tmp_path).public.raw == first.public.raw
    assert (folder / PUBLIC_NAME).exists()


def test_a_key_that_is_lost_or_not_ours_is_not_made_anew_in_silence(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    folder = tmp_path / ".spool"
    secret = (folder / KEY_NAME).read_bytes()
    (folder / KEY_NAME).chmod(0o644)
    with pytest.raises(InvalidRequest, match="0600"):
        ensure_key(tmp_path)
    (folder / KEY_NAME).unlink()
    with pytest.raises(InvalidRequest, match="backup"):
        ensure_key(tmp_path)
    ensure_key(tmp_path / "other")
    (tmp_path / "other/.spool" / KEY_NAME).write_bytes(secret)
    with pytest.raises(InvalidRequest, match="is not that of"):
        ensure_key(tmp_path / "other")
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"):
        (tmp_path / "other/.spool" / KEY_NAME).write_bytes(content)
        with pytest.raises(InvalidRequest, match="no private key"):
            ensure_key(tmp_path / "other")


# paper


def test_the_paper_has_both_languages_and_a_word_for_every_state() -> None:
    assert TEXTS["pt-BR"].keys() == TEXTS["en"].keys()
    told = {*STATES, "already_there", "dismissed", "sent_awaiting_commitment"} - {"skipped"}
    assert told <= TEXTS["en"].keys()


def test_five_thousand_instances_fit_on_paper(tmp_path: Path) -> None:
    make(tmp_path, studies=1, images=5000)
    key = ensure_key(tmp_path)
    maker = Maker("Ponte 0.1.0", "STORESCP", key.public.id)
    with Views(tmp_path) as views:
        found = receipt(views, study_uid(0), maker, at=AT)
    assert found["totals"]["instances"] == 5000
    content = receipt_pdf(found, key, language="pt-BR", zone=ZONE)
    assert verify(content, key.public) == found
    assert content.count(b"/Type /Page ") > 150
