"""pydicom's warnings and logs stay inside, from many threads too."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest
from pydicom.config import WARN
from pydicom.valuerep import validate_value

from ponte.quiet import quiet


def warn() -> None:
    """What pydicom does with a broken value: it warns, and quotes it."""
    validate_value("DA", "CANARY", WARN)


def test_a_warning_of_pydicom_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        warn()
    assert not caplog.records


def test_warnings_of_others_are_untouched() -> None:
    with quiet(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_afterwards_all_is_as_before() -> None:
    filters, level = list(warnings.filters), logging.getLogger("pydicom").level
    with quiet(), quiet():
        pass
    assert list(warnings.filters) == filters
    assert logging.getLogger("pydicom").level == level
    with pytest.warns(UserWarning, match="CANARY"):
        warn()


def test_threads_that_overlap_do_not_undo_each_other() -> None:
    filters, failures = list(warnings.filters), []

    def work() -> None:
        for _ in range(200):
            with quiet():
                try:
                    warn()
                except UserWarning as error:
                    failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == filters
