"""The log of the watcher: in a file, in the line format that clinics know, and in short on the console.

The file is local, and has names of members and UIDs in clear: they are what its readers look for. Nothing
that a name holds can begin a line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
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


def open_log(config: Config, console: Sequence[logging.Handler] | None = None) -> None:
    """Set the loggers up. With handlers given for what goes to the console, it runs in another's service, and
    leaves the log of the transport alone. Raises `InvalidRequest` where the file cannot be written."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(config.log_level)
    logger.propagate = False
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # the folder is polled whatever it says
    if console is not None:
        for one in console:
            logging.getLogger(CONSOLE).addHandler(one)
        logger.addHandler(logging.NullHandler() if config.log_file is None else _file(config))
        return
    _to_console()
    for name in (LOGGER, _TRANSPORT):
        logging.getLogger(name).addHandler(logging.NullHandler())  # else Python itself would print the names
    if config.log_file is None:
        return
    handler = _file(config)
    logger.addHandler(handler)
    transport = logging.getLogger(_TRANSPORT)
    transport.setLevel(logging.DEBUG if config.transport_debug else logging.INFO)
    transport.addHandler(handler)


def close_log() -> None:
    """Let go of the handlers that `open_log` added in another's service; those of the console are its own."""
    for name in (LOGGER, CONSOLE):
        logger = logging.getLogger(name)
        for handler in [*logger.handlers]:
            logger.removeHandler(handler)
            if name == LOGGER:
                handler.close()


def tell(level: int, line: str, name: str, stand_in: str, *more: object, alarm: str = "") -> None:
    """The line with the name in the file, and with what stands for the name on the console. `alarm` is what
    the router's log calls what somebody has to look at."""
    logging.getLogger(LOGGER).log(level, line, name, *more)
    extra = {**_BRIEF, "alarm": alarm} if alarm else _BRIEF
    logging.getLogger(CONSOLE).log(level, line, stand_in, *more, extra=extra)


def _to_console() -> None:
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_Line(_FORMAT))
    logging.getLogger(CONSOLE).addHandler(console)


def _file(config: Config) -> logging.Handler:
    path = config.log_file
    assert path is not None  # noqa: S101  its caller has looked
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
