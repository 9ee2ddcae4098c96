"""The way to a destination: sessions that keep an association from batch to batch, whatever its kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from ponte.destination import Destination, Outcome, Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import InvalidRequest, PonteError
from ponte.orthanc import OrthancDestination
from ponte.stow import StoreLimits, StowDestination
from ponte_net.association import Patience, Peer
from ponte_net.contexts import batches
from ponte_net.scu import Scu, ScuLimits, TlsOptions
from ponte_net.scu import Session as Associations
from router.destinations import DicomNode, WebServer

_SYNTAX_NOT_SUPPORTED = 0xC122  # PS3.18 I.2.2: Referenced Transfer Syntax Not Supported
_CLASS_NOT_SUPPORTED = "SOP class not supported"


class Session(Protocol):
    """What one worker sends through. One thread's."""

    def store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        """As `Destination.store`; the batch is what may be in flight."""
        ...

    def lacks_syntax(self, instance: Outgoing, outcome: Outcome) -> bool:
        """True where it was refused for its transfer syntax, and another may do."""
        ...

    def blames_instance(self) -> bool:
        """After a failure: True where the destination is there, and what was in flight may be at fault."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """Let go of the association. The next batch makes another."""
        ...


class Link(Protocol):
    """A destination as workers see it."""

    def check(self) -> None:
        """As `Destination.check`."""
        ...

    def session(self) -> Session: ...


class DicomLink:
    """C-STORE."""

    def __init__(self, node: DicomNode) -> None:
        files = TlsOptions(node.ca_file, node.certificate_file, node.key_file)
        self.scu = Scu(
            Peer(node.host, node.port, node.ae_title),
            calling_ae_title=node.calling_ae_title,
            max_pdu=node.max_pdu,
            local_port=node.local_port,
            tls_options=files if node.tls else None,
            limits=ScuLimits(
                retries=1,  # the peer may have closed an association that was idle
                backoff_s=0.05,
                patience=Patience(min(10.0, node.timeout_s), min(30.0, node.timeout_s), node.timeout_s),
            ),
        )

    def check(self) -> None:
        self.scu.check()

    def session(self) -> Session:
        return _DicomSession(self.scu.session())


class _DicomSession:
    def __init__(self, associations: Associations) -> None:
        self._associations = associations
        self._opened = 0

    def store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        self._opened = self._associations.opened
        for part in batches(batch, most=len(batch), most_bytes=sys.maxsize):  # split at 128 contexts
            yield from self._associations.store(part)

    def lacks_syntax(self, instance: Outgoing, outcome: Outcome) -> bool:
        why = None if outcome.stored else self._associations.rejected(instance)
        return why is not None and why != _CLASS_NOT_SUPPORTED

    def blames_instance(self) -> bool:
        """It accepted an association for this batch; one that had been idle may just have been closed."""
        return self._associations.opened > self._opened

    def close(self, *, at_once: bool = False) -> None:
        if at_once:
            self._associations.abort()
        else:
            self._associations.release()


class HttpLink:
    """STOW-RS, or Orthanc's own interface; connections are kept by the client."""

    def __init__(self, open_destination: Callable[[], Destination]) -> None:
        self._open = open_destination
        self._first = open_destination()

    def check(self) -> None:
        self._first.check()

    def session(self) -> Session:
        return _HttpSession(self._open())


class _HttpSession:
    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        yield from self._destination.store(batch)

    def lacks_syntax(self, instance: Outgoing, outcome: Outcome) -> bool:  # noqa: ARG002
        return not outcome.stored and outcome.reason == _SYNTAX_NOT_SUPPORTED

    def blames_instance(self) -> bool:
        with suppress(PonteError):
            self._destination.check()
            return True
        return False

    def close(self, *, at_once: bool = False) -> None:
        pass


def open_link(target: DicomNode | WebServer) -> Link:
    """Nothing is connected yet. Raises `InvalidRequest` for files that cannot be used."""
    if isinstance(target, DicomNode):
        return DicomLink(target)
    credentials = credentials_of(target)
    return HttpLink(lambda: _http_destination(target, credentials))


def credentials_of(server: WebServer) -> Credentials | None:
    """Raises `InvalidRequest` for a file that cannot be read, which it names and does not quote."""
    if server.username is None:
        return None
    password = server.password.get_secret_value() if server.password else ""
    if server.password_file is not None:
        try:
            password = server.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{server.name}: the password_file cannot be read") from error
    return Credentials.from_json({"type": "basic", "username": server.username, "password": password})


def _http_destination(server: WebServer, credentials: Credentials | None) -> Destination:
    limits = StoreLimits(
        batch_bytes=server.batch_bytes, batch_instances=server.batch_instances, answer_s=server.timeout_s,
        retries=0,
    )  # fmt: skip
    kind = OrthancDestination if server.kind == "orthanc" else StowDestination
    return kind(server.url, credentials=credentials, limits=limits)
