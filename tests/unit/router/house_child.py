"""A process that receives, organises and removes until it is killed: `python -m tests.unit.router.house_child
ROOT receive`. The first half of what it sends is confirmed, and goes. Or one that only does
other work: `ROOT adopt`, `ROOT patrol`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.factories import make_ct, uid
from tests.unit.router.organised import House

STUDIES = ("first", "second")
EACH = 4
GOES = frozenset(range(1, EACH + 1))


def main() -> None:
    """All of a study's life."""
    house = House(Path(sys.argv[1]))
    if sys.argv[2] == "adopt":
        house.adopt()
    elif sys.argv[2] == "patrol":
        house.go_round()
    else:
        send(house)
        settle(house)
    house.close()


def send(house: House) -> None:
    """Two studies of one patient at the same time."""
    for study in STUDIES:
        for number in range(EACH):
            instance = make_ct(number, size=4, StudyInstanceUID=uid(study), SOPInstanceUID=uid(study, number))
            if house.store.send(instance) != 0:
                raise RuntimeError


def settle(house: House) -> None:
    """What follows of itself, however often it is begun."""
    house.complete()
    house.destinations.confirmed |= GOES
    house.remove()
    house.organise()


if __name__ == "__main__":
    main()
