"""One log for a function: its own lines and those of the packages below it, as JSON, with the same keys.

The message is a constant past-tense event. Keys say which job, how many, how long, which code: never a
patient, a request's body or a text of somebody else's exception.
"""

from __future__ import annotations

import logging

from aws_lambda_powertools import Logger

PACKAGES = ("ponte", "ponte_aws", "ponte_net", "render", "callback", "zip_ingest", "classify")


def make_logger(service: str) -> Logger:
    """The function's logger; what our packages log by the standard library goes the same way."""
    logger = Logger(service=service)
    for name in PACKAGES:
        package = logging.getLogger(name)
        package.handlers = list(logger.handlers)
        package.setLevel(logger.log_level)
        package.propagate = (
            False  # the runtime's own handler would print each line once more, without its keys
        )
    return logger
