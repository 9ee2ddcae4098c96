"""Classification: deployed where there is a model, allowed what it needs, and running from what ships."""

from __future__ import annotations

import base64
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from classify.settings import ClassifySettings
from infra import layers
from infra.app import synthesise
from infra.configuration import Configuration, ConfigurationError
from tests.factories import encode
from tests.infra import runtime
from tests.infra.conftest import FULL, Synthesise, build_or_skip
from tests.infra.runtime import Outcome
from tests.infra.template import Template
from tests.infra.test_nag import findings
from tests.unit.classify.images import make_dx
from tests.unit.classify.models import TARGETS, write_model

CLASSIFYING: dict[str, Any] = {**FULL, "classify_model": "s3://models/chest/1"}
MALFORMED = {
    "Records": [{"messageId": "message-1", "receiptHandle": "handle", "body": "no JSON", "attributes": {}}]
}


@pytest.fixture(scope="session")
def classifying(synth: Synthesise) -> Template:
    return synth(**CLASSIFYING)


def test_nothing_is_deployed_without_a_model(full: Template) -> None:
    assert "Classify" not in full.functions()
    assert not any("onnx" in str(layer).lower() for layer in full.of_type("AWS::Lambda::LayerVersion"))


def test_the_function_understands_what_the_stack_tells_it(
    classifying: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in classifying.environment("Classify").items():
        monkeypatch.setenv(name, value)
    settings = ClassifySettings()

    assert settings.classify_model == "s3://models/chest/1"
    assert settings.dicom_wado_url == FULL["dicom_wado_url"]
    assert settings.saliency is False


def test_it_may_read_the_model_and_write_results_and_no_more(classifying: Template) -> None:
    objects = classifying.actions("Classify", "s3")

    assert set(objects) == {"GetObject", "PutObject"}
    (model,) = objects["GetObject"]
    (results,) = objects["PutObject"]
    assert model.endswith(":s3:::models/chest/1/*")
    assert results.endswith("/classify/*")
    assert set(classifying.actions("Classify", "dynamodb")) == {"GetItem", "PutItem"}
    assert classifying.actions("Classify", "secretsmanager") == {
        "GetSecretValue": {FULL["dicom_auth_secret_arn"]}
    }


def test_the_api_may_ask_where_there_is_a_model(classifying: Template, full: Template) -> None:
    queue = classifying.environment("Classify")["CLASSIFY_QUEUE_URL"]

    assert classifying.environment("Api")["CLASSIFY_QUEUE_URL"] == queue
    assert "CLASSIFY_QUEUE_URL" not in full.environment("Api")


def test_ingest_and_the_classifier_meet_in_one_queue_and_one_table(ingesting: Template) -> None:
    classify, ingest = (ingesting.environment(name) for name in ("Classify", "Ingest"))

    assert classify["CLASSIFY_QUEUE_URL"] == ingest["CLASSIFY_QUEUE_URL"]
    assert classify["ARCHIVES_TABLE"] == ingest["ARCHIVES_TABLE"]
    tables = ingesting.actions("Classify", "dynamodb")
    assert ingest["ARCHIVES_TABLE"] in {name.split(".")[0] for name in tables["GetItem"]}
    assert ingest["ARCHIVES_TABLE"] not in {name.split(".")[0] for name in tables["PutItem"]}


@pytest.mark.parametrize("stage", ["prod", "dev"])
def test_cdk_nag_finds_nothing_that_has_no_reason(stage: str, tmp_path: Path, stand_in_layers: None) -> None:
    assert findings(tmp_path, {**CLASSIFYING, "stage": stage}) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [({"classify": True}, "CLASSIFY needs CLASSIFY_MODEL"), ({"dicom_wado_url": ""}, "needs DICOM_WADO_URL")],
)
def test_what_could_not_work_does_not_synthesise(given: dict[str, Any], said: str) -> None:
    settings = {**CLASSIFYING, "ingest_destination": "dicom://PACS@pacs.example:4242", **given}
    if "classify" in given:
        settings["classify_model"] = ""
    with pytest.raises(ConfigurationError, match=said):
        Configuration.read(settings.get, {})


@pytest.mark.parametrize("place", ["models/chest", "s3://models", "s3://models/../x?y", "https://x/y"])
def test_a_model_that_is_nowhere_in_s3_does_not_synthesise(place: str) -> None:
    with pytest.raises(ConfigurationError, match="CLASSIFY_MODEL"):
        Configuration.read({**FULL, "classify_model": place}.get, {})


# What ships, runs

shipping = pytest.mark.skipif(
    (platform.machine(), *sys.version_info[:2]) != ("x86_64", *layers.LAMBDA_PYTHON),
    reason="needs Python 3.13 on x86_64, which the layers are built for",
)
PROBE = """
import base64, sys
def handler(event, context):
    sys.path.append(event['asset'])
    from classify.model import open_model
    from classify.triage import Options, classify
    result = classify(base64.b64decode(event['instance']), open_model(event['model']), Options(overlay=True))
    return [result.verdict, len(result.findings), [made.sop_class_uid for made in result.made]]
"""


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Template:
    build_or_skip("x86_64")
    settings = {**CLASSIFYING, "architecture": "x86_64"}
    return Template.read(synthesise(Configuration(**settings), tmp_path_factory.mktemp("shipped")))


@pytest.fixture(scope="session")
def mounted(shipped: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runtime.mount(shipped.layer_assets("Classify"), tmp_path_factory.mktemp("opt"))


@pytest.mark.layers
@shipping
def test_a_radiograph_becomes_a_report_and_a_picture_with_what_ships(
    shipped: Template, mounted: Path, tmp_path: Path
) -> None:
    (tmp_path / "asset").mkdir()
    (tmp_path / "asset" / "probe.py").write_text(PROBE)
    event = {
        "asset": str(shipped.asset("Classify")),
        "model": str(write_model(tmp_path / "model")),
        "instance": base64.b64encode(encode(make_dx())).decode(),
    }

    outcome = runtime.invoke(
        "probe.handler",
        event,
        path=[tmp_path / "asset", mounted / "python"],
        client=tmp_path / "client",
        environment=shipped.environment("Classify"),
    )

    classes = ["1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"]
    assert outcome == Outcome(answer=["classified", len(TARGETS), classes])


@pytest.mark.layers
@shipping
def test_a_message_that_is_not_ours_is_reported_as_failed(
    shipped: Template, mounted: Path, tmp_path: Path
) -> None:
    outcome = runtime.invoke(
        shipped.function("Classify")["Handler"],
        MALFORMED,
        path=[shipped.asset("Classify"), mounted / "python"],
        client=tmp_path / "client",
        environment=shipped.environment("Classify"),
    )

    assert outcome.error is None
    assert outcome.answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}


@pytest.mark.layers
@pytest.mark.parametrize("architecture", layers.ARCHITECTURES)
def test_what_it_carries_is_within_the_limit_of_lambda(architecture: layers.Architecture) -> None:
    build_or_skip(architecture)
    names: tuple[layers.Name, ...] = ("imaging", "runtime", "classify")
    total = sum(layers.built(architecture, name).size_bytes for name in names)

    assert total < layers.UNZIPPED_LIMIT * 0.9
