"""An instance goes where the rules say, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from router.destinations import read_destinations
from router.rules import Facts, Rule, choose, needs_header

CT = Facts("MODALITY1", "STORESCP", "192.168.10.7", "CT", "SCANNER-2", "CHEST", ("CHEST ROUTINE", "AX 1mm"))


def rule(**values: Any) -> Rule:
    return Rule.model_validate(values)


@pytest.mark.parametrize(
    ("include", "fits"),
    [
        ({}, True),
        ({"modality": ["CT"]}, True),
        ({"modality": ["ct"]}, True),
        ({"modality": ["MR", "C?"]}, True),
        ({"modality": ["MR"]}, False),
        ({"modality": ["CT"], "station": ["scanner-*"]}, True),
        ({"modality": ["CT"], "station": ["other"]}, False),
        ({"calling_ae_title": ["MODALITY*"], "called_ae_title": ["STORESCP"]}, True),
        ({"calling_ae_title": ["MODALITY"]}, False),
        ({"body_part": ["CHEST"]}, True),
        ({"description": ["*routine*"]}, True),
        ({"description": ["AX *"]}, True),
        ({"description": ["routine"]}, False),
        ({"address": ["192.168.10.0/24"]}, True),
        ({"address": ["192.168.11.0/24", "192.168.10.7"]}, True),
        ({"address": ["10.0.0.0/8"]}, False),
    ],
)
def test_all_that_is_asked_must_fit(include: dict[str, Any], fits: bool) -> None:
    assert rule(include=include).fits(CT) is fits


def test_any_exclusion_that_fits_keeps_it_out() -> None:
    chest = rule(
        include={"modality": ["CT"]}, exclude=[{"body_part": ["HEAD"]}, {"description": ["*routine*"]}]
    )
    assert not chest.fits(CT)
    assert rule(exclude=[{"modality": ["CT"], "body_part": ["HEAD"]}]).fits(CT)


def test_an_address_that_is_none_is_in_no_network_and_a_mapped_one_in_its_own() -> None:
    local = rule(include={"address": ["192.168.10.0/24"]})
    assert not local.fits(Facts(address=""))
    assert local.fits(Facts(address="::ffff:192.168.10.7"))


def test_patterns_are_no_regular_expressions() -> None:
    assert not rule(include={"description": ["A.1mm"]}).fits(Facts(description=("AX1mm",)))
    assert rule(include={"description": ["[[]x] (1)*"]}).fits(Facts(description=("[x] (1) 2",)))


def destinations(*rules: list[dict[str, Any]]) -> Any:
    return read_destinations(
        [
            {"kind": "dicom", "name": f"d{n}", "host": "h", "ae_title": "A", "rules": each, "priority": 7}
            for n, each in enumerate(rules)
        ]
    )


def test_all_who_want_it_get_it_or_only_the_first() -> None:
    found = destinations([{"include": {"modality": ["MR"]}}], [{"priority": 1}], [])
    assert choose(found, CT) == {"d1": 1, "d2": 7}
    assert choose(found, CT, "first") == {"d1": 1}
    assert choose(destinations([{"include": {"modality": ["MR"]}}]), CT) == {}


def test_the_first_rule_that_fits_says_how_urgent_it_is() -> None:
    urgent = {"include": {"description": ["*STAT*"]}, "priority": 0}
    rules: list[dict[str, Any]] = [urgent, {"include": {"modality": ["CT"]}}]
    assert choose(destinations(rules), CT) == {"d0": 7}
    assert choose(destinations(rules), Facts(modality="CT", description=("STAT HEAD", ""))) == {"d0": 0}


def test_files_are_opened_only_where_a_rule_asks_for_what_is_in_them() -> None:
    assert not needs_header(destinations([{"include": {"modality": ["CT"]}}], []))
    assert needs_header(destinations([{"exclude": [{"station": ["X"]}]}]))
