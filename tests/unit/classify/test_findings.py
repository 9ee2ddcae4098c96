"""Numbers of a model, and what may be said of them."""

from __future__ import annotations

import numpy as np
import pytest

from classify.findings import CODES, SCHEME, findings_of, score_of
from tests.unit.classify.models import TARGETS, THRESHOLDS, manifest


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


@pytest.mark.parametrize(
    ("probability", "threshold", "score"),
    # By hand from TorchXRayVision's op_norm: p / 2t below the threshold, 1 - (1 - p) / 2(1 - t) from it on.
    [
        (0.0, 0.2, 0.0),
        (0.1, 0.2, 0.25),
        (0.2, 0.2, 0.5),
        (0.6, 0.2, 0.75),
        (1.0, 0.2, 1.0),
        (0.01, 0.005, 0.5025),
    ],
)
def test_the_score_is_a_half_at_the_threshold(probability: float, threshold: float, score: float) -> None:
    assert score_of(probability, threshold) == pytest.approx(score, abs=1e-4)


def test_each_label_has_its_probability_and_threshold() -> None:
    logits = np.array([logit(0.03 + 0.05 * number) for number in range(18)], np.float32)

    found = findings_of(logits, manifest())

    assert [finding.label for finding in found] == list(TARGETS)
    assert [finding.threshold for finding in found] == list(THRESHOLDS)
    assert [finding.probability for finding in found] == pytest.approx(
        [0.03 + 0.05 * number for number in range(18)], abs=1e-6
    )


def test_presence_is_said_at_the_threshold_and_above_it_alone() -> None:
    thresholds = [0.5] * 3 + [None]
    targets = ["Mass", "Nodule", "Hernia", "Edema"]
    logits = np.array([logit(0.49), 0.0, logit(0.51), logit(0.99)], np.float32)

    found = findings_of(logits, manifest(targets=targets, thresholds=thresholds))

    assert [finding.at_threshold for finding in found] == [False, True, True, False]
    assert found[3].score is None
    assert found[3].as_json() == {"label": "Edema", "probability": 0.99, "score": None, "threshold": None}


def test_an_output_without_a_name_means_nothing() -> None:
    found = findings_of(
        np.zeros(3, np.float32), manifest(targets=["", "Mass", ""], thresholds=[0.1, 0.2, 0.3])
    )

    assert [finding.label for finding in found] == ["Mass"]


def test_codes_fit_their_attributes_and_differ() -> None:
    own = findings_of(
        np.zeros(2, np.float32), manifest(targets=["A label", "Another"], thresholds=[0.1, 0.2])
    )
    codes = [*CODES.values(), *(finding.code for finding in own)]

    assert all(len(code.value) <= 16 and len(code.meaning) <= 64 for code in codes)
    assert len({(code.scheme_designator, code.value) for code in codes}) == len(codes)
    assert [finding.code.scheme_designator for finding in own] == [SCHEME] * 2
