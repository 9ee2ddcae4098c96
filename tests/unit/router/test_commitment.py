"""Storage Commitment: what is said of which instance, and that it is said in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from ponte.errors import DestinationUnavailable
from router.commitment import (
    CLASS_INSTANCE_CONFLICT,
    INVALID_ARGUMENT,
    NO_SUCH_INSTANCE,
    RESOURCE_LIMITATION,
    CommitmentLimits,
    Commitments,
    NetworkSender,
    Report,
)
from router.counters import Counters
from router.reception import PROCESSING_FAILURE, SUCCESS, Referenced
from tests.factories import make_ct
from tests.unit.router.store import FACTS, Store


class Peer:
    """Takes reports, as long as it is up."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.is_up = True

    def send(self, report: Report) -> None:
        if not self.is_up:
            raise DestinationUnavailable("down")
        self.reports.append(report)


class Clock:
    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


class Setting:
    """A store, and who is told."""

    def __init__(self, root: Path, limits: CommitmentLimits) -> None:
        self.store, self.peer, self.clock = Store(root), Peer(), Clock()
        self.commitments = Commitments(
            self.store.spool, self.store.committer, self.peer, Counters(), limits=limits, now=self.clock
        )

    def ask(self, *references: Referenced, transaction: str = "1.2.3") -> int:
        return self.commitments.ask(FACTS, transaction, references)

    def states(self) -> list[str]:
        rows = self.store.committer.run(lambda rows: rows.run("SELECT state FROM commitments").fetchall())
        assert isinstance(rows, list)
        return [state for (state,) in rows]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    found = Setting(tmp_path, CommitmentLimits(references=3, open_requests=2))
    yield found
    found.store.close()


def reference(number: int = 1) -> Referenced:
    instance = make_ct(number)
    return Referenced(instance.SOPClassUID, instance.SOPInstanceUID)


def test_what_is_kept_is_committed_and_what_is_not_has_failed(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    assert setting.ask(reference(1), reference(2)) == SUCCESS
    assert setting.commitments.send_due() == 1
    (report,) = setting.peer.reports
    assert report.committed == (reference(1),)
    assert report.failed == ((reference(2), NO_SUCH_INSTANCE),)
    assert setting.states() == ["reported"]
    assert setting.commitments.send_due() == 0


def test_the_class_must_be_that_of_the_instance(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    other = Referenced("1.2.840.10008.5.1.4.1.1.4", reference(1).sop_instance_uid)
    setting.ask(other)
    setting.commitments.send_due()
    assert setting.peer.reports[0].failed == ((other, CLASS_INSTANCE_CONFLICT),)


def test_bytes_that_changed_on_the_disk_are_not_committed(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    row = setting.store.kept(reference(1).sop_instance_uid)
    assert row is not None
    path = setting.store.spool.path_of(row.place)
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    setting.ask(reference(1))
    setting.commitments.send_due()
    assert setting.peer.reports[0].failed == ((reference(1), PROCESSING_FAILURE),)


def test_what_was_removed_in_order_is_committed_still(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    setting.store.committer.remove(reference(1).sop_instance_uid)
    setting.ask(reference(1))
    setting.commitments.send_due()
    assert setting.peer.reports[0].committed == (reference(1),)


def test_of_two_contents_under_one_uid_none_is_committed(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    setting.store.send(make_ct(1, PatientID="OTHER"))
    setting.ask(reference(1))
    setting.commitments.send_due()
    assert setting.peer.reports[0].failed == ((reference(1), PROCESSING_FAILURE),)


def test_nor_after_the_rows_were_built_again(tmp_path: Path) -> None:
    first = Setting(tmp_path, CommitmentLimits())
    first.store.send(make_ct(1))
    first.store.send(make_ct(1, PatientID="OTHER"))
    first.store.close()
    (tmp_path / ".spool/router.db").unlink()
    second = Setting(tmp_path, CommitmentLimits())
    second.ask(reference(1))
    second.commitments.send_due()
    assert second.peer.reports[0].committed == ()
    second.store.close()


def test_a_report_waits_for_its_peer_and_is_sent_once(setting: Setting) -> None:
    setting.store.send(make_ct(1))
    setting.peer.is_up = False
    assert [setting.ask(reference(1)), setting.ask(reference(1))] == [
        SUCCESS,
        SUCCESS,
    ]  # asked twice: one row
    assert setting.commitments.send_due() == 1
    assert setting.commitments.send_due() == 0
    setting.peer.is_up = True
    setting.clock.now += 5
    assert setting.commitments.send_due() == 1
    setting.clock.now += 100_000
    assert setting.commitments.send_due() == 0
    assert len(setting.peer.reports) == 1


def test_a_report_that_nobody_takes_is_given_up_with_an_alarm(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.peer.is_up = False
    setting.ask(reference(1))
    for _ in range(200):
        setting.commitments.send_due()
        setting.clock.now += 3600
    assert setting.states() == ["given_up"]
    assert any(getattr(record, "alarm", "") == "COMMITMENT_GIVEN_UP" for record in caplog.records)


def test_a_clock_that_was_a_day_ahead_does_not_hold_a_report_back(setting: Setting) -> None:
    """FI-28."""
    setting.peer.is_up = False
    setting.clock.now += 86_400
    setting.ask(reference(1))
    setting.commitments.send_due()
    setting.clock.now -= 86_400
    setting.peer.is_up = True
    assert setting.commitments.send_due() == 1


def test_requests_have_limits(setting: Setting) -> None:
    assert setting.ask() == INVALID_ARGUMENT
    assert setting.ask(reference(1), transaction="../x") == INVALID_ARGUMENT
    assert setting.ask(*[reference(1)] * 4) == RESOURCE_LIMITATION
    results = [setting.ask(reference(1), transaction=f"1.2.{number}") for number in range(3)]
    assert results == [SUCCESS, SUCCESS, RESOURCE_LIMITATION]


def test_a_request_outlives_the_router(tmp_path: Path) -> None:
    first = Setting(tmp_path, CommitmentLimits())
    first.store.send(make_ct(1))
    first.ask(reference(1))
    first.store.close()
    second = Setting(tmp_path, CommitmentLimits())
    second.commitments.send_due()
    assert second.peer.reports[0].committed == (reference(1),)
    second.store.close()


@pytest.mark.parametrize("failed", [True, False])
def test_a_real_peer_gets_the_report_on_an_association_of_its_own(failed: bool) -> None:
    got: list[tuple[int, Dataset]] = []

    def on_report(event: evt.Event) -> tuple[int, None]:
        got.append((event.event_type or 0, event.event_information))
        return 0, None

    ae = AE("MODALITY")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)]
    )
    assert server is not None
    report = Report(
        "1.2.3", "MODALITY", "STORESCP", "127.0.0.1", (reference(1),),
        ((reference(2), NO_SUCH_INSTANCE),) if failed else (),
    )  # fmt: skip
    try:
        NetworkSender(default_port=server.server_address[1]).send(report)
    finally:
        server.shutdown()
    ((event_type, information),) = got
    assert event_type == (2 if failed else 1)
    assert information.TransactionUID == "1.2.3"
    assert information.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == reference(1).sop_instance_uid
    if failed:
        assert information.FailedSOPSequence[0].FailureReason == NO_SUCH_INSTANCE
    assert StorageCommitmentPushModelInstance == "1.2.840.10008.1.20.1.1"
