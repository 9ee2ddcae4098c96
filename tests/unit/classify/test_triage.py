"""One instance from its bytes to its report."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from classify import triage
from classify.model import Model, open_model
from classify.triage import NOTICE, Options, classify, model_json
from tests.factories import encode, make_ct
from tests.unit.classify.images import as_jpeg2000, make_dx, picture
from tests.unit.classify.models import TARGETS, weights, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(str(write_model(tmp_path_factory.mktemp("model"))))


def test_a_radiograph_is_classified_by_its_own_pixels(model: Model) -> None:
    result = classify(encode(make_dx()), model)

    mean = (2 * (picture(12).astype(np.float64) / 4095) - 1).mean() * 1024
    weight, bias = weights()
    expected = 1 / (1 + np.exp(-(mean * weight + bias)))
    assert result.verdict == "classified"
    assert [finding.label for finding in result.findings] == list(TARGETS)
    assert [finding.probability for finding in result.findings] == pytest.approx(list(expected), abs=1e-4)
    assert len(result.made) == 1


def test_what_was_corrected_is_in_the_provenance(model: Model) -> None:
    image = as_jpeg2000(make_dx(picture(12), bits=11), picture(12), precision=12)

    said = classify(encode(image), model).as_json()["provenance"]

    assert said["input"]["bits_stored_corrected"] == 12
    assert (said["modality"], said["body_part"], said["view"]) == ("DX", "CHEST", "PA")


def test_the_saliency_picture_is_made_on_request_alone(model: Model) -> None:
    assert len(classify(encode(make_dx()), model, Options(overlay=True)).made) == 2
    assert len(classify(encode(make_dx()), model).made) == 1


def test_a_skip_and_a_failure_have_their_reasons(model: Model) -> None:
    skipped = classify(encode(make_ct()), model)
    failed = classify(b"no DICOM", model)
    flat = classify(encode(make_dx(np.full((50, 50), 3, np.uint16))), model)

    assert (skipped.verdict, skipped.reason) == ("skipped", "NOT_A_RADIOGRAPH")
    assert (failed.verdict, failed.reason) == ("failed", "NOT_DICOM")
    assert (flat.verdict, flat.reason) == ("failed", "FLAT")
    assert not skipped.made + failed.made + flat.made


def test_an_image_of_which_no_report_can_be_made_fails_by_itself(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("CANARY")

    monkeypatch.setattr(triage, "make_report", broken)
    result = classify(encode(make_dx()), model)

    assert (result.verdict, result.reason) == ("failed", "CANNOT_DECODE")
    assert "CANARY" not in result.detail


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_uid_that_breaks_the_rules_is_kept_and_nobody_is_warned(model: Model) -> None:
    instance = encode(make_dx(StudyInstanceUID="999.01.2", SOPInstanceUID="999.02.3"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = classify(instance, model, Options(overlay=True))

    assert (result.verdict, [str(one.message) for one in said]) == ("classified", [])


def test_what_is_said_of_the_model_says_what_it_is_not(model: Model) -> None:
    said = model_json(model)

    assert said["notice"] == NOTICE
    assert said["onnx_sha256"] == model.manifest.onnx_sha256


def test_nothing_of_the_patient_is_in_a_result(model: Model) -> None:
    assert "CANARY" not in str(classify(encode(make_dx()), model).as_json())
