"""A router that runs tells a mail server and a webhook what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.process import free_port, wait_for
from ponte.destination import Outgoing
from router.alert_memory import raised
from router.controlclient import call
from router.views import Views
from tests.authority import Authority
from tests.factories import encode, make_ct
from tests.hazards.test_router_service import Router, outgoing, running, send
from tests.mail_server import MailServer
from tests.unit.router.disk import small_disk
from tests.unit.router.test_alert_channels import Receiver
from tests.unit.router.test_metrics import read
from tests.unit.router.test_zipwatch import watch

MIB = 1 << 20


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer().running() as server:
        yield server


def settings(mail_port: int, *more: str) -> str:
    """Looks often, and one destination where nobody is."""
    dead = f"{{kind: dicom, name: pacs, host: 127.0.0.1, port: {free_port()}, ae_title: PACS"
    lines = [
        "alerts:",
        "  language: en",
        "  every_s: 0.1",
        f"  email: {{host: 127.0.0.1, port: {mail_port}, security: none, sender: ponte@box.example,",
        "    recipients: [night@clinic.example]}",
        *more,
        "destinations:",
        f"  - {dead}, retry: {{first_s: 0.1, longest_s: 0.2, alert_after_s: 0.3}}}}",
    ]
    return "\n".join(lines) + "\n"


def subjects(mail: MailServer) -> list[str]:
    return [str(one.message["Subject"]) for one in list(mail.received)]


def told(mail: MailServer, part: str) -> Callable[[], bool]:
    return lambda: any(part in subject for subject in subjects(mail))


def heard(router: Router, message: str, **extra: Any) -> int:
    """How often the log has a line."""
    return sum(line.get("message") == message and extra.items() <= line.items() for line in list(router.log))


def without_pixels(number: int) -> Outgoing:
    """What goes to quarantine."""
    instance = make_ct(number)
    del instance.PixelData
    return replace(outgoing(number), content=encode(instance))


DOWN = "ALERT: Destination pacs does not take images"


def test_a_dead_destination_is_told_once_though_the_router_is_killed_in_the_middle(
    tmp_path: Path, mail: MailServer
) -> None:
    root = tmp_path / "root"
    text = settings(mail.port)
    with running(root, settings=text) as router:
        send(router.port, [outgoing(1)], set())
        wait_for(told(mail, DOWN), timeout_s=30, msg="nobody is told")
        # Taken by the server is not yet noted by us: killed in between, it would be told again.
        wait_for(lambda: heard(router, "alert sent") > 0, timeout_s=30, msg="it is not noted")
        assert heard(router, "alert raised", alarm="DESTINATION_DOWN", subject="pacs") == 1
        router.kill()
    assert [(one.kind, one.subject) for one in raised(root)] == [("DESTINATION_DOWN", "pacs")]
    with running(root, settings=text) as router:
        wait_for(
            lambda: heard(router, "destination failed", destination="pacs") >= 5,
            timeout_s=30, msg="it is not tried",
        )  # fmt: skip
        send(router.port, [without_pixels(2)], set())
        wait_for(told(mail, "in quarantine"), timeout_s=30, msg="nobody is told of the quarantine")
        router.end()
        assert router.wait() == 0
    assert [subject for subject in subjects(mail) if DOWN in subject] == [f"[Ponte] {DOWN}"]
    text = mail.received[0].message.get_content()
    assert "1 images wait" in text
    assert not any("CANARY" in one.data.decode("ascii") for one in mail.received)


def test_a_mail_server_that_says_nothing_delays_neither_the_webhook_nor_an_image_nor_the_end(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    stored: set[str] = set()
    with MailServer(answers={"CONNECT": ""}).running() as mute, Receiver().running() as receiver:
        hook = f"  webhook: {{url: 'http://127.0.0.1:{receiver.port}/'}}"
        with running(root, settings=settings(mute.port, hook)) as router:
            send(router.port, [outgoing(1)], stored)
            wait_for(lambda: mute.connections > 0, timeout_s=30, msg="the mail server is not asked")
            wait_for(lambda: bool(receiver.asked), timeout_s=30, msg="the webhook waits for the mail server")
            send(router.port, [outgoing(2)], stored)
            assert mute.received == []
            router.end()
            assert router.wait() == 0
    assert len(stored) == 2


def fill(path: Path) -> None:
    """Until there is no space."""
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(1 << 16))


def test_a_full_disk_is_told_though_nothing_can_be_noted(tmp_path: Path, mail: MailServer) -> None:
    root = tmp_path / "root"
    disk = f"disk: {{associations_bytes: 0, instances_bytes: 0, warning_bytes: {4 * MIB}}}\n"
    with small_disk(root, "16m"), running(root, settings=settings(mail.port) + disk) as router:
        fill(root / "filler")
        wait_for(told(mail, "ALERT: The disk runs full: 0.0 GiB left"), timeout_s=30, msg="nobody is told")
        assert heard(router, "alerts not noted", alarm="ALERTS_NOT_NOTED") == 1
        (root / "filler").unlink()
        router.end()
        assert router.wait() == 0


def test_a_certificate_of_ours_that_expires_is_told(tmp_path: Path, mail: MailServer) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1", days=5)
    files = f"certificate_file: {issued.certificate_file}, key_file: {issued.key_file}"
    text = settings(mail.port).replace("ae_title: PACS", f"ae_title: PACS, tls: true, {files}")
    with running(tmp_path / "root", settings=text):
        told_so = told(mail, "ALERT: The certificate of pacs (client) expires in 4 day(s)")
        wait_for(told_so, timeout_s=30, msg="nobody is told")


def test_a_watched_folder_that_vanishes_is_told_and_keeps_nobody_from_receiving(
    tmp_path: Path, mail: MailServer
) -> None:
    """FS-07."""
    folder, stored = tmp_path / "zips/watch_dir", set[str]()
    folder.mkdir(parents=True)
    section = {"watch": watch(tmp_path / "zips", logging={"file": str(tmp_path / "zip.log")})}
    text = settings(mail.port) + yaml.safe_dump(section)
    with running(tmp_path / "root", settings=text) as router:
        folder.rename(tmp_path / "away")
        told_so = told(mail, "ALERT: The folder watched for ZIPs cannot be reached")
        wait_for(told_so, timeout_s=60, msg="nobody is told")
        send(router.port, [outgoing(1)], stored)
        router.end()
        assert router.wait() == 0
    assert len(stored) == 1


def test_metrics_are_those_of_the_router_that_runs_and_the_alerts_can_be_begun_anew(
    tmp_path: Path, mail: MailServer
) -> None:
    root, stored = tmp_path / "root", set[str]()
    with running(root, settings=settings(mail.port)) as router:
        send(router.port, [outgoing(1), outgoing(2)], stored)
        wait_for(told(mail, DOWN), timeout_s=30, msg="nobody is told")
        call(root, "restart", part="alerts")
        with Views(root) as views:
            found = read(call(root, "status"), views, root)
        router.end()
        assert router.wait() == 0
    assert len(stored) == 2
    assert found["ponte_cstore_total"] == {(("calling_ae", "PONTE"), ("status", "0000")): 2}
    assert found["ponte_store_seconds_count"] == {(): 2}
    assert found["ponte_router_ready"] == {(): 1}
    assert found["ponte_queue_depth"][("destination", "pacs"),] == 2
    assert found["ponte_destination_up"][("destination", "pacs"),] == 0
    assert found["ponte_part_up"][("part", "alerts"),] == 1
    assert found["ponte_alert_raised"][("kind", "DESTINATION_DOWN"), ("subject", "pacs")] == 1
    assert found["ponte_oldest_unforwarded_seconds"][()] > 0
    assert [subject for subject in subjects(mail) if DOWN in subject] == [f"[Ponte] {DOWN}"]
