"""The log of the watcher: in a file, in the line format that clinics know, and in short on the console.

The file is local, and has names of members and UIDs in clear: they are what its readers look for. Nothing
that a name holds can begin a line.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from ponte.errors import InvalidRequest
from watcher.config import Config

LOGGER: Final = "ponte.watch"
"""For the file."""
CONSOLE: Final = f"{LOGGER}.console"
"""For console and file."""
_BRIEF: Final = {"brief": True}
_TRANSPORT: Final = "ponte_net"
_FORMAT = "%(asctime)s | %(levelname)s | %(message)s"


class _Line(logging.Formatter):
    """One line, whatever is in the message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is logging's)
        return one_line(super().formatMessage(record))


def one_line(text: str) -> str:
    """The text with everything escaped that is no character to be shown."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def open_log(config: Config) -> None:
    """Set the loggers up. Raises `InvalidRequest` where the file cannot be written."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(config.log_level)
    logger.propagate = False
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_Line(_FORMAT))
    logging.getLogger(CONSOLE).addHandler(console)
    for name in (LOGGER, _TRANSPORT):
        logging.getLogger(name).addHandler(logging.NullHandler())  # else Python itself would print the names
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # the folder is polled whatever it says
    if config.log_file is None:
        return
    handler = _file_handler(config.log_file, config)
    logger.addHandler(handler)
    transport = logging.getLogger(_TRANSPORT)
    transport.setLevel(logging.DEBUG if config.transport_debug else logging.INFO)
    transport.addHandler(handler)


def tell(level: int, line: str, name: str, stand_in: str, *more: object) -> None:
    """The line with the name in the file, and with what stands for the name on the console."""
    logging.getLogger(LOGGER).log(level, line, name, *more)
    logging.getLogger(CONSOLE).log(level, line, stand_in, *more, extra=_BRIEF)


def _file_handler(path: Path, config: Config) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            path,
            maxBytes=int(config.ours.log_max_mib * (1 << 20)),
            backupCount=config.ours.log_backups,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        raise InvalidRequest(f"logging.file {path} cannot be written: {error.strerror}") from error
    handler.setFormatter(_Line(_FORMAT))
    handler.addFilter(lambda record: not hasattr(record, "brief"))
    return handler
