"""E-mail by a real SMTP server, and a webhook whose signature an independent library checks."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from ponte.errors import DestinationRefused, DestinationUnavailable, PonteError, SecretUnusable
from router.alert_mail import Mail
from router.alert_notice import Notice
from router.alert_texts import Letter
from router.alert_webhook import Hook
from router.config import AlertWebhookConfig, EmailConfig
from tests.authority import Authority
from tests.mail_server import MailServer

NOTICE = Notice("alert_1", "DISK_LOW", "", "raised", 1.7e9, 1.7e9 + 60, {"free_gib": 1.5, "days": 2.0})
WORDS = Letter("[Ponte Clínica] ALERTA: O disco está acabando", "O disco está acabando\n.\nção " + "x" * 2000)
TWO = ("a@clinic.example", "b@clinic.example")
SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2)]


def config(port: int, **changed: Any) -> EmailConfig:
    found = EmailConfig("127.0.0.1", "ponte@box.example", TWO, port, "none", timeout_s=5)
    return replace(found, **changed)


@dataclass
class Tls:
    authority: Authority
    context: ssl.SSLContext


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority = Authority(tmp_path)
    issued = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate_file, issued.key_file)
    return Tls(authority, context)


def test_one_message_reaches_all_and_is_read_as_it_was_written() -> None:
    with MailServer().running() as server:
        assert Mail(config(server.port)).send(NOTICE, WORDS, TWO) == ()
    (received,) = server.received
    assert (received.sender, received.recipients) == ("ponte@box.example", TWO)
    message = received.message
    assert message["Subject"] == WORDS.title
    assert message["To"] == ", ".join(TWO)
    assert message["From"] == "Ponte <ponte@box.example>"
    assert message["Message-ID"] == "<alert_1@box.example>"
    assert message["Date"].datetime.timestamp() == NOTICE.at
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines() == WORDS.text.splitlines()
    assert max(map(len, received.data.split(b"\r\n"))) <= 998  # RFC 5322 2.1.1
    received.data.decode("ascii")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_what_is_said_and_the_password_are_encrypted(security: str, tls: Tls) -> None:
    server = MailServer(tls.context, implicit=security == "tls", login="ponte:canary")
    with server.running():
        mail = Mail(config(
            server.port, security=security, username="ponte", password="canary", ca_file=tls.authority.ca_file
        ))  # fmt: skip
        assert mail.send(NOTICE, WORDS, TWO) == ()
    (received,) = server.received
    assert (received.was_encrypted, received.login) == (True, "ponte:canary")


def test_a_server_that_we_do_not_know_gets_no_password(tls: Tls) -> None:
    with MailServer(tls.context, login="ponte:canary").running() as server:
        mail = Mail(config(server.port, security="starttls", username="ponte", password="canary"))
        with pytest.raises(DestinationUnavailable) as failed:
            mail.send(NOTICE, WORDS, TWO)
    assert failed.value.code == "SMTP_TLS"
    assert not any(line.startswith("AUTH") for line in server.said)


def test_a_server_without_starttls_gets_neither_password_nor_message() -> None:
    with MailServer(login="ponte:canary").running() as server:
        mail = Mail(config(server.port, security="starttls", username="ponte", password="canary"))
        with pytest.raises(DestinationUnavailable) as failed:
            mail.send(NOTICE, WORDS, TWO)
    assert failed.value.code == "SMTP_TLS"
    assert [line.partition(" ")[0] for line in server.said] == ["ehlo"]


def test_those_whom_the_server_does_not_take_are_named() -> None:
    with MailServer(answers={f"RCPT {TWO[0]}": "450 later"}).running() as server:
        assert Mail(config(server.port)).send(NOTICE, WORDS, TWO) == (TWO[0],)
    assert server.received[0].recipients == (TWO[1],)


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ({"RCPT": "550 no such user"}, DestinationRefused, "SMTP_REFUSED"),
        ({"RCPT": "451 later"}, DestinationUnavailable, "SMTP"),
        ({"MAIL": "550 not from you"}, DestinationRefused, "SMTP_REFUSED"),
        ({"DATA": "554 canary"}, DestinationRefused, "SMTP_REFUSED"),
        ({"DATA": "421 going down"}, DestinationUnavailable, "SMTP"),
        ({"CONNECT": "554 no"}, DestinationRefused, "SMTP_REFUSED"),
        ({"CONNECT": "what is this"}, DestinationUnavailable, "SMTP"),
    ],
    ids=[
        "no recipient",
        "recipients later",
        "not the sender",
        "not the message",
        "not now",
        "not us",
        "no SMTP",
    ],
)
def test_what_the_server_refuses_is_told_from_what_it_may_take_later(
    answers: dict[str, str], kind: type[PonteError], code: str
) -> None:
    with MailServer(answers=answers).running() as server, pytest.raises(kind) as failed:
        Mail(config(server.port)).send(NOTICE, WORDS, TWO)
    assert failed.value.code == code
    assert "canary" not in failed.value.detail
    assert server.received == []


def test_a_wrong_password_may_be_mended_and_is_not_quoted(tls: Tls) -> None:
    with MailServer(tls.context, login="ponte:other").running() as server:
        known = config(server.port, security="starttls", ca_file=tls.authority.ca_file)
        mail = Mail(replace(known, username="ponte", password="canary"))
        with pytest.raises(DestinationUnavailable) as failed:
            mail.send(NOTICE, WORDS, TWO)
    assert failed.value.code == "SMTP_AUTH"
    assert "canary" not in failed.value.detail


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "DATA"])
def test_a_server_that_falls_silent_holds_nobody_for_longer_than_was_set(verb: str) -> None:
    """It returns at all: the deadline is the socket's own."""
    with MailServer(answers={verb: ""}).running() as server, pytest.raises(DestinationUnavailable):
        Mail(config(server.port, timeout_s=0.3)).send(NOTICE, WORDS, TWO)


def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DestinationUnavailable, match="cannot be reached"):
        Mail(config(port)).send(NOTICE, WORDS, TWO)


def test_no_value_becomes_a_header() -> None:
    evil = Letter("ALERT\r\nBcc: evil@x.example\r\n\r\nbody", "text\r\n.\r\nMAIL FROM:<evil@x.example>\r\n")
    with MailServer().running() as server:
        Mail(config(server.port)).send(NOTICE, evil, TWO)
    (received,) = server.received
    assert received.recipients == TWO
    assert received.message["Bcc"] is None
    assert "\n" not in received.message["Subject"]


# the webhook


@dataclass
class Receiver:
    """Takes POSTs, and answers as it is told."""

    status: int = 200
    asked: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("Location", f"http://127.0.0.1:{outer.port}/other")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_address[1]
            thread = Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
            thread.start()
            yield self
            server.shutdown()
            thread.join()


def hook(port: int, secret: str = "") -> Hook:
    return Hook(AlertWebhookConfig(f"http://127.0.0.1:{port}/alerts", secret, 5), site="Sol")


def test_a_post_is_signed_with_each_secret_and_says_what_the_letter_says() -> None:
    with Receiver().running() as receiver:
        assert hook(receiver.port, " ".join(SECRETS)).send(NOTICE, WORDS, ("receiver",)) == ()
    ((headers, body),) = receiver.asked
    for secret in SECRETS:
        found = Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
        assert found == json.loads(body)
    assert found == {
        "type": "edge.alert", "id": "alert_1", "site": "Sol", "kind": "DISK_LOW", "subject": "",
        "state": "raised", "since": "2023-11-14T22:13:20+00:00", "at": "2023-11-14T22:14:20+00:00",
        "title": WORDS.title, "text": WORDS.text, "values": {"free_gib": 1.5, "days": 2.0},
    }  # fmt: skip


def test_its_id_is_the_same_each_time() -> None:
    with Receiver().running() as receiver:
        found = hook(receiver.port, SECRETS[0])
        found.send(NOTICE, WORDS, ())
        found.send(NOTICE, WORDS, ())
    assert {headers["webhook-id"] for headers, _ in receiver.asked} == {"alert_1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, DestinationRefused),
        (404, DestinationRefused),
        (410, DestinationRefused),
        (408, DestinationUnavailable),
        (429, DestinationUnavailable),
        (500, DestinationUnavailable),
        (503, DestinationUnavailable),
    ],
)
def test_an_answer_that_is_not_2xx_is_no_success_and_no_redirect_is_followed(
    status: int, kind: type[PonteError]
) -> None:
    with Receiver(status).running() as receiver, pytest.raises(kind):
        hook(receiver.port).send(NOTICE, WORDS, ())
    assert len(receiver.asked) == 1


def test_nobody_there_and_a_secret_that_is_none_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DestinationUnavailable):
        hook(port).send(NOTICE, WORDS, ())
    with pytest.raises(SecretUnusable) as unusable:
        hook(port, "canary").send(NOTICE, WORDS, ())
    assert "canary" not in unusable.value.detail
