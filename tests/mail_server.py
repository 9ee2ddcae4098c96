"""A mail server: real SMTP on a socket (RFC 5321), with STARTTLS, TLS from the first byte, and AUTH, that
notes what it was given and answers as it is told."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, cast


@dataclass
class Received:
    """One message, as it came."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    login: str
    was_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


@dataclass
class MailServer:
    """`answers` has another answer for a verb, or for `RCPT address`; an empty one is none at all."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    login: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @contextmanager
    def running(self) -> Iterator[MailServer]:
        with _Server(("127.0.0.1", self.port), _Session) as server:
            server.mail = self
            self.port = server.server_address[1]
            thread = Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    mail: MailServer

    def handle_error(self, *_: Any) -> None:
        """A peer that gave up."""


class _Session(StreamRequestHandler):
    def handle(self) -> None:
        self.mail = cast("_Server", self.server).mail
        self.mail.connections += 1
        self.is_encrypted = False
        self.user, self.sender, self.recipients = "", "", list[str]()
        if self.mail.implicit:
            self._encrypt()
        self._say(self.mail.answers.get("CONNECT", "220 here"))
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            self.mail.said.append(line)
            verb, _, rest = line.partition(" ")
            if (answer := self._told(verb.upper(), rest)) is not None:
                self._say(answer)
                continue
            if not getattr(self, f"do_{verb.lower()}", self.do_unknown)(rest):
                return

    def finish(self) -> None:
        """Close what was wrapped, too."""
        with suppress(OSError):
            super().finish()
        self.request.close()

    def _told(self, verb: str, rest: str) -> str | None:
        if verb == "RCPT":
            return self.mail.answers.get(f"RCPT {_address(rest)}", self.mail.answers.get(verb))
        return None if verb == "DATA" else self.mail.answers.get(verb)

    def _say(self, line: str) -> None:
        if line:
            self.wfile.write(line.encode() + b"\r\n")

    def _encrypt(self) -> None:
        assert self.mail.tls is not None
        for stream in (self.rfile, self.wfile):
            stream.close()
        self.request = self.mail.tls.wrap_socket(self.request, server_side=True)
        self.connection = self.request
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
        self.is_encrypted = True

    def do_ehlo(self, _: str) -> bool:
        offers = ["here", "8BITMIME"]
        if self.mail.tls and not self.is_encrypted:
            offers.append("STARTTLS")
        if self.mail.login:
            offers.append("AUTH PLAIN")
        for offer in offers[:-1]:
            self._say(f"250-{offer}")
        self._say(f"250 {offers[-1]}")
        return True

    def do_starttls(self, _: str) -> bool:
        self._say("220 go on")
        with suppress(ssl.SSLError, OSError):
            self._encrypt()
            return True
        return False

    def do_auth(self, rest: str) -> bool:
        given = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        self.user = ":".join(given[1:])
        self._say("235 welcome" if self.user == self.mail.login else "535 no")
        return True

    def do_mail(self, rest: str) -> bool:
        self.sender, self.recipients = _address(rest), []
        self._say("250 ok" if not self.mail.login or self.user else "530 who are you")
        return True

    def do_rcpt(self, rest: str) -> bool:
        self.recipients.append(_address(rest))
        self._say("250 ok")
        return True

    def do_data(self, _: str) -> bool:
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        answer = self.mail.answers.get("DATA", "250 taken")
        if answer.startswith("2"):
            self.mail.received.append(
                Received(self.sender, tuple(self.recipients), b"".join(lines), self.user, self.is_encrypted)
            )
        self._say(answer)
        return True

    def do_rset(self, _: str) -> bool:
        self._say("250 ok")
        return True

    def do_quit(self, _: str) -> bool:
        self._say("221 bye")
        return False

    def do_unknown(self, _: str) -> bool:
        self._say("502 what")
        return True


def _address(rest: str) -> str:
    return rest[rest.index("<") + 1 : rest.index(">")]
