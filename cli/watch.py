"""`ponte watch`: ZIPs that are dropped into a folder go to a destination, one configuration file a clinic."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.destinations import DicomNode, ae_title, open_destination, open_inbox, open_node, shown
from cli.output import print_line
from ponte.errors import InvalidRequest, PonteError

if TYPE_CHECKING:
    from watcher.config import Config, Peer
    from watcher.service import Target, Watcher

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_CHECK_S = 0.2
_KILLED = 128


def watch(
    config_file: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration file.")],
    check: Annotated[
        bool, typer.Option("--check", help="Check the file and ask the destination; end.")
    ] = False,
) -> None:
    """Watch a folder for ZIPs and bring their instances to a destination, until ended by SIGTERM."""
    from watcher.config import read_config
    from watcher.logfile import CONSOLE, LOGGER, open_log
    from watcher.service import open_watcher

    config = read_config(config_file)
    target = _target(config)
    if check:
        for warning in config.warnings:
            print_line(f"warning: {warning}")
        if not config.watch_dir.is_dir():
            print_line(
                f"warning: paths.watch_dir: {config.watch_dir} is not there; it is waited for, not made"
            )
        target.destination.check()
        print_line(f"{target.check_verb} OK: {target.name}")
        return
    stop = _stop_on_signals()
    open_log(config)
    log = logging.getLogger(CONSOLE)
    for warning in config.warnings:
        log.warning("%s: %s", config_file.name, warning)
    try:
        with open_watcher(config, target, stop) as watcher:
            log.info("Watching %s for %s", config.watch_dir, target.name)
            _run(watcher, stop)
            if not stop.is_set():
                log.critical("The watcher ended by a fault inside Ponte, and must be started anew")
                raise PonteError("The watcher ended by a fault inside Ponte")
    except InvalidRequest as error:
        logging.getLogger(LOGGER).error("Not begun: %s", error.detail)
        raise
    log.info("Ended")


def _stop_on_signals() -> threading.Event:
    """What the first signal sets; the second ends the process at once, and what was in flight is done again.

    By handlers, not by blocked signals that are waited for: threads of libraries, begun before, would not
    block them, and the process be ended by the first that one of these is given.
    """
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(_KILLED + number)
        stop.set()

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    return stop


def _run(watcher: Watcher, stop: threading.Event) -> None:
    thread = threading.Thread(target=watcher.run, name="watch")
    thread.start()
    while thread.is_alive():
        thread.join(_CHECK_S)
        if stop.is_set():
            watcher.wake()


def _target(config: Config) -> Target:
    """The destination of the section `ponte`, else the node of the section `dicom`."""
    from watcher.service import Target

    text = config.ours.destination
    if text is None:
        assert config.peer is not None  # noqa: S101  (one of the two is there)
        peer = config.peer
        name = f"{peer.peer_ae_title}@{peer.peer_host}:{peer.peer_port}"
        return Target(open_node(_node(peer, config)), name, f"dicom://{name}")
    if text.startswith("s3:"):
        return Target(open_inbox(text), shown(text), shown(text), check_verb="Check", store_verb="Upload")
    destination = open_destination(text, auth_file=config.ours.auth_file)
    if text.startswith("dicom:"):
        return Target(destination, shown(text), shown(text))
    store = "POST /instances" if text.startswith("orthanc+") else "STOW-RS"
    return Target(destination, shown(text), shown(text), check_verb="Check", store_verb=store)


def _node(peer: Peer, config: Config) -> DicomNode:
    return DicomNode(
        peer.peer_host,
        peer.peer_port,
        ae_title(peer.peer_ae_title, "AE title dicom.peer_ae_title"),
        ae_title(peer.local_ae_title, "AE title dicom.local_ae_title"),
        max_pdu=peer.max_pdu,
        local_port=peer.local_port or None,
        batch=config.send_batch_size,
        tls=peer.use_tls,
        ca_file=config.ours.tls_ca_file,
        cert_file=config.ours.tls_cert_file,
        key_file=config.ours.tls_key_file,
    )
