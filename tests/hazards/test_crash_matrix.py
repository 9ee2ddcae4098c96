"""The crash matrix: killed at each failpoint, with a modality, the disk or a destination in trouble besides.

HAZARDS.md FI-01 to FI-07, FI-09, FI-10, FI-13; I1 to I4 after each kill and each restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.hazards import crash
from tests.hazards.crash import PLACES, TROUBLES, Cell, Outcome
from tests.hazards.crash_table import AT_A_TIME, FAILED, committed, name_of

_QUICK = crash.diagonal()
_REST = [
    pytest.param(cell, marks=pytest.mark.exhaustive)
    for cell in (*crash.cells(), *crash.cells(processes=2))
    if cell not in _QUICK
]


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """All cells that were asked for, several at a time: most of what they do is wait."""
    wanted = [item.callspec.params.get("cell") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            cell.name: pool.submit(crash.run, cell, tmp_path_factory.mktemp("cell"))
            for cell in wanted
            if isinstance(cell, Cell)
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("cell", [*_QUICK, *_REST], ids=lambda cell: cell.name)
def test_killed_anywhere_nothing_is_lost_and_nothing_is_untrue(
    cell: Cell, runs: dict[str, Future[Outcome]]
) -> None:
    runs[cell.name].result()


def test_the_table_of_the_documentation_is_that_of_this_matrix() -> None:
    header, *rows = committed()
    assert header[1:] == [trouble.name for trouble in TROUBLES]
    assert [row[0] for row in rows] == [name_of(place) for place in PLACES]
    assert sum(len(row) - 1 for row in rows) == len(crash.cells())
    assert not [row for row in rows if FAILED in row]
