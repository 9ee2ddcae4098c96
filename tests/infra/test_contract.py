"""What ships, runs: each function from its built x86_64 layers and its own asset, under AWS's own runtime.

Nothing of this environment can be imported there, so a dependency that a layer lacks fails here.
"""

from __future__ import annotations

import base64
import platform
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas as Drawing

from infra import layers
from infra.app import synthesise
from infra.configuration import Configuration
from tests.infra import runtime
from tests.infra.conftest import INGESTING, build_or_skip
from tests.infra.runtime import Outcome
from tests.infra.template import Template

pytestmark = [
    pytest.mark.layers,
    pytest.mark.skipif(
        (platform.machine(), *sys.version_info[:2]) != ("x86_64", *layers.LAMBDA_PYTHON),
        reason="needs Python 3.13 on x86_64, which the layers are built for",
    ),
]
MALFORMED = {
    "Records": [
        {
            "messageId": "message-1",
            "receiptHandle": "handle",
            "body": "no JSON",
            "attributes": {"ApproximateReceiveCount": "1"},
        }
    ]
}
HEALTH = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/health",
    "rawQueryString": "",
    "headers": {"host": "api.example"},
    "requestContext": {
        "http": {"method": "GET", "path": "/health", "sourceIp": "203.0.113.7", "protocol": "HTTP/1.1"},
        "stage": "$default",
        "requestId": "request-1",
    },
    "isBase64Encoded": False,
}


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The assembly of stage prod over the layers as they were really built."""
    build_or_skip("x86_64")
    settings = {**INGESTING, "architecture": "x86_64"}
    return Template.read(synthesise(Configuration(**settings), tmp_path_factory.mktemp("shipped")))


@pytest.fixture(scope="session")
def mounted(shipped: Template, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each function finds in `/opt`."""
    return {
        name: runtime.mount(shipped.layer_assets(name), tmp_path_factory.mktemp("opt"))
        for name in shipped.functions()
    }


@pytest.fixture
def invoke(shipped: Template, mounted: Mapping[str, Path], tmp_path: Path) -> Any:
    """Run one of the functions, or a handler of a test's own among the same layers."""

    def run(name: str, event: Mapping[str, Any], *, probe: str = "") -> Outcome:
        asset = shipped.asset(name)
        handler = shipped.function(name)["Handler"]
        if probe:
            asset, handler = tmp_path / "asset", "probe.handler"
            asset.mkdir()
            (asset / "probe.py").write_text(probe)
        return runtime.invoke(
            handler,
            event,
            path=[asset, mounted[name] / "python"],
            client=tmp_path / "client",
            environment=shipped.environment(name),
        )

    return run


def test_the_api_answers_that_it_is_well(invoke: Any) -> None:
    outcome = invoke("Api", HEALTH)
    assert outcome.error is None
    assert outcome.answer["statusCode"] == 200


@pytest.mark.parametrize("name", ["Worker", "Callback", "Ingest", "IngestWebhook"])
def test_a_message_that_is_not_ours_is_reported_as_failed(invoke: Any, name: str) -> None:
    outcome = invoke(name, MALFORMED)
    assert outcome.error is None
    assert outcome.answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}


def test_the_report_starts(invoke: Any) -> None:
    assert invoke("Report", {"Records": []}).error is None


@pytest.mark.parametrize("name", ["moto", "pytest", "aws_cdk", "reportlab"])
def test_nothing_of_this_environment_leaks_into_a_function(invoke: Any, name: str) -> None:
    outcome = invoke("Worker", {}, probe=f"import {name}\ndef handler(event, context): return 'found'\n")
    assert outcome.answer is None
    assert outcome.error["errorType"] == "Runtime.ImportModuleError"


@pytest.mark.parametrize("name", ["numpy", "pydicom", "PIL", "imagecodecs"])
def test_the_api_could_not_import_pixels(invoke: Any, name: str) -> None:
    outcome = invoke("Api", {}, probe=f"import {name}\ndef handler(event, context): return 'found'\n")
    assert outcome.error["errorType"] == "Runtime.ImportModuleError"


CODECS = """
import struct
import imagecodecs, numpy
narrow = numpy.add.outer(numpy.arange(64), numpy.arange(80)).astype('uint8')
wide = (numpy.add.outer(numpy.arange(64), numpy.arange(80)) * 17).astype('uint16')
colour = numpy.stack([narrow, narrow[::-1], narrow[:, ::-1]], axis=-1).copy()
def pack(pixels):  # PS3.5 annex G: one segment, literal runs of one row each
    rows = b''.join(bytes([len(row) - 1]) + row.tobytes() for row in pixels)
    return struct.pack('<16I', 1, 64, *[0] * 14) + rows
COMPARED = {
    'jpeg baseline': lambda: (imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(narrow, 100)), narrow, 2),
    'jpeg colour': lambda: (
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(colour, 100)).shape, colour.shape, 0),
    'jpeg 12 bit': lambda: (imagecodecs.jpeg8_decode(
        imagecodecs.jpeg8_encode(wide >> 4, 100, bitspersample=12)), wide >> 4, 4),
    'jpeg lossless (SOF3)': lambda: (imagecodecs.jpeg8_decode(
        imagecodecs.jpeg8_encode(wide, lossless=True, predictor=1)), wide, 0),
    'jpeg-ls': lambda: (imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(wide)), wide, 0),
    'jpeg 2000': lambda: (imagecodecs.jpeg2k_decode(
        imagecodecs.jpeg2k_encode(wide, codecformat='j2k', reversible=True, level=0)), wide, 0),
    'htj2k': lambda: (imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(wide, reversible=True)), wide, 0),
    'jpeg xl': lambda: (imagecodecs.jpegxl_decode(imagecodecs.jpegxl_encode(wide, lossless=True)), wide, 0),
    'rle': lambda: (numpy.frombuffer(
        imagecodecs.dicomrle_decode(pack(narrow), 'uint8'), 'uint8').reshape(narrow.shape), narrow, 0),
    'isal': lambda: (numpy.frombuffer(__import__('zlib').decompress(
        imagecodecs.isal_encode(wide.tobytes(), 1)), 'uint16').reshape(wide.shape), wide, 0),
}
def handler(event, context):
    faults = {}
    for name, compare in COMPARED.items():
        try:
            one, other, tolerance = compare()
            difference = numpy.abs(numpy.asarray(one, 'int32') - numpy.asarray(other, 'int32')).max()
            if difference > tolerance:
                faults[name] = f'differs by {difference}'
        except Exception as error:
            faults[name] = repr(error)[:300]
    return faults
"""

DECODERS = """
from ponte.selftest import check_decoders
def handler(event, context):
    wrong = [r for r in check_decoders() if r.status != 'ok']
    return [r.name + ': ' + r.detail for r in wrong if 'cannot make a sample' not in r.detail]
"""


def test_the_codecs_that_the_layer_keeps_are_those_that_dicom_needs(invoke: Any) -> None:
    assert invoke("Worker", {}, probe=CODECS) == Outcome(answer={})


def test_every_decoder_is_among_the_layers(invoke: Any) -> None:
    assert invoke("Worker", {}, probe=DECODERS) == Outcome(answer=[])


MERGED = """
import base64, io, sys
def handler(event, context):
    sys.path.append(event['asset'])
    from pydicom.dataset import Dataset
    from render.documents import drawer_of
    from render.pdf import PdfWriter
    from render.texts import TEXTS
    dataset = Dataset()
    dataset.SOPClassUID = '1.2.840.10008.5.1.4.1.1.104.1'
    dataset.EncapsulatedDocument = base64.b64decode(event['pdf'])
    draw = drawer_of(dataset.SOPClassUID)
    document = draw(dataset, PdfWriter(io.BytesIO()), TEXTS['en'], anonymize=False)
    return [list(sheet.size) for sheet in document.sheets]
"""


def test_the_pages_of_an_encapsulated_pdf_are_merged(shipped: Template, invoke: Any) -> None:
    """By a process of its own, with what the layer has."""
    drawing = Drawing(out := BytesIO(), pagesize=(300, 400))
    drawing.drawString(40, 40, "said")
    drawing.save()
    event = {"asset": str(shipped.asset("Worker")), "pdf": base64.b64encode(out.getvalue()).decode()}
    assert invoke("Worker", event, probe=MERGED) == Outcome(answer=[[300, 400]])


def test_boto_makes_every_client_that_the_functions_ask_for(invoke: Any) -> None:
    probe = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    boto3.resource('dynamodb').Table('t')\n"
        "    return [boto3.client(n).meta.service_model.service_name for n in event['services']]\n"
    )
    services = ["sqs", "s3", "kms", "secretsmanager", "sts", "scheduler", "dynamodb"]
    assert invoke("Api", {"services": services}, probe=probe) == Outcome(answer=services)


def test_a_secret_never_has_to_be_in_the_environment(shipped: Template) -> None:
    for name in shipped.functions():
        secret = {
            v for v in shipped.environment(name) if any(w in v for w in ("TOKEN", "SECRET", "PASSWORD"))
        }
        assert all(v.endswith(("_ARN", "_KEY_ID")) for v in secret)


SENDING = """
import sys
from ponte_net.destinations import open_destination
def handler(event, context):
    for text in ('dicom://A@127.0.0.1:9', 'http://127.0.0.1:9/dicom-web', 'orthanc+http://127.0.0.1:9'):
        try:
            open_destination(text, environ={}).check()
        except Exception as error:
            if type(error).__name__ not in ('DestinationUnavailable', 'DestinationTimeout'):
                raise
    return sorted({'numpy', 'PIL', 'imagecodecs', 'pynetdicom'} & set(sys.modules))
"""


def test_ingest_reaches_for_every_kind_of_destination_without_imaging(invoke: Any) -> None:
    outcome = invoke("Ingest", {}, probe=SENDING)
    assert outcome.error is None
    assert outcome.answer == ["pynetdicom"]
