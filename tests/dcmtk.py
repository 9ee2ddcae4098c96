"""DCMTK's servers on a free port each, for the tests that are marked `dcmtk`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.process import Child, answers, free_port

AE_TITLE = "DCMTK"
_CONFIGURATION = """\
MaxPDUSize = {max_pdu}
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{ae_title} {folder} RW (1000, 1024mb) ANY
AETable END
"""


@dataclass(frozen=True)
class Server:
    """Where it listens, and the folder that it stores into."""

    port: int
    folder: Path
    log: Path

    @property
    def stored(self) -> list[bytes]:
        """The files, in no order."""
        return [path.read_bytes() for path in self.folder.iterdir() if path.name != "index.dat"]


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[Server]:
    """`storescp +B` with further options."""
    with _started(folder, ["storescp", "+B", "-od", str(folder / "stored"), *options]) as server:
        yield server


@contextmanager
def dcmqrscp(folder: Path, *options: str, max_pdu: int = 16384) -> Iterator[Server]:
    """`dcmqrscp` for the AE title `AE_TITLE`."""
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        _CONFIGURATION.format(max_pdu=max_pdu, ae_title=AE_TITLE, folder=folder / "stored")
    )
    with _started(folder, ["dcmqrscp", "-c", str(configuration), *options]) as server:
        yield server


@contextmanager
def _started(folder: Path, command: list[str]) -> Iterator[Server]:
    (folder / "stored").mkdir()
    port = free_port()
    server = Server(port, folder / "stored", folder / "server.log")
    with Child(command[0], [*command, str(port)], log=server.log, grace_s=0.2) as child:
        child.wait_until(lambda: answers(port), timeout_s=20, what="it listens")
        yield server
