from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.assembly import stacks, zip_folder
from infra.local.aws import Aws
from infra.local.deploy import deploy, fill, with_environment
from infra.local.emulator import Emulator
from infra.local.errors import DeployError
from infra.local.gateway import FunctionBackend, Gateway
from tests.stack import Api

CODE = """
def handler(event, context):
    http = event["requestContext"]["http"]
    if http["path"] == "/fail":
        raise RuntimeError("no")
    import os
    return {"statusCode": 200, "body": f"{http['sourceIp']} {os.environ['GREETING']} {http['method']}"}
"""
BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"


def function(**environment: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "code.handler",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Code": {"S3Bucket": {"Fn::Sub": BUCKET}, "S3Key": "code.zip"},
            "Environment": {"Variables": environment},
        },
    }


def write_assembly(folder: Path, resources: dict[str, Any], *, name: str = "ponte-test") -> Path:
    """A cloud assembly as CDK writes it, with one stack and one asset."""
    (folder / "asset.code").mkdir(parents=True)
    (folder / "asset.code" / "code.py").write_text(CODE)
    template = {
        "Resources": resources,
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            }
        },
        "Outputs": {"ApiFunction": {"Value": {"Ref": "Api"}}} if "Api" in resources else {},
    }
    (folder / "test.template.json").write_text(json.dumps(template))
    files = {
        "code": {
            "source": {"path": "asset.code", "packaging": "zip"},
            "destinations": {"here": {"bucketName": BUCKET, "objectKey": "code.zip"}},
        },
        "template": {
            "source": {"path": "test.template.json", "packaging": "file"},
            "destinations": {"here": {"bucketName": BUCKET, "objectKey": "template.json"}},
        },
    }
    (folder / "test.assets.json").write_text(json.dumps({"files": files}))
    artifacts = {
        "test": {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": "test.template.json", "stackName": name},
            "dependencies": ["test.assets"],
        },
        "test.assets": {"type": "cdk:asset-manifest", "properties": {"file": "test.assets.json"}},
        "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return folder


def test_an_assembly_has_its_stacks_and_their_assets_but_not_the_template_as_asset(tmp_path: Path) -> None:
    (stack,) = stacks(write_assembly(tmp_path, {"Api": function()}))

    assert stack.name == "ponte-test"
    assert [(asset.path.name, asset.zipped, asset.key) for asset in stack.assets] == [
        ("asset.code", True, "code.zip")
    ]


def test_the_same_folder_is_the_same_zip_whenever_it_was_written(tmp_path: Path) -> None:
    for name, time in (("one", 1_000_000_000), ("two", 1_500_000_000)):
        (tmp_path / name / "package").mkdir(parents=True)
        (tmp_path / name / "package" / "__pycache__").mkdir()
        (tmp_path / name / "package" / "__pycache__" / "x.pyc").write_text(name)
        for file in ("b.py", "a.py"):
            path = tmp_path / name / "package" / file
            path.write_text(file)
            os.utime(path, (time, time))
        zip_folder(tmp_path / name, tmp_path / f"{name}.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["package/a.py", "package/b.py"]


def test_only_variables_that_a_function_declares_are_replaced() -> None:
    template = {"Resources": {"Api": function(GREETING="stand-in"), "Topic": {"Type": "AWS::SNS::Topic"}}}

    changed = with_environment(template, {"GREETING": "olá", "OTHER": "x"})

    assert changed["Resources"]["Api"]["Properties"]["Environment"]["Variables"] == {"GREETING": "olá"}
    assert template["Resources"]["Api"]["Properties"]["Environment"]["Variables"] == {"GREETING": "stand-in"}


def test_pseudo_parameters_are_filled_in() -> None:
    filled = fill(BUCKET, {"${AWS::AccountId}": "000000000000", "${AWS::Region}": "us-east-1"})

    assert filled == "cdk-hnb659fds-assets-000000000000-us-east-1"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Emulator(tmp_path_factory.mktemp("aws")) as emulator:
        yield Aws(emulator.endpoint_url)


@pytest.mark.stack
def test_a_deployed_function_answers_through_the_gateway(tmp_path: Path, aws: Aws) -> None:
    assembly = write_assembly(tmp_path, {"Api": function(GREETING="stand-in")})
    outputs = deploy(assembly, aws, environment={"GREETING": "ola"})
    with Gateway("127.0.0.1", 0) as gateway:
        gateway.start(FunctionBackend(aws, outputs["ApiFunction"]))
        api = Api(gateway.url)

        assert api.request("GET", "/", headers={"X-Forwarded-For": "8.8.8.8"}).data == b"127.0.0.1 ola GET"
        assert api.request("GET", "/fail").status == 502

        deploy(assembly, aws, environment={"GREETING": "again"})
        assert api.request("GET", "/").data == b"127.0.0.1 again GET"
        assert deploy(assembly, aws, environment={"GREETING": "again"}) == outputs


@pytest.mark.stack
def test_a_resource_that_fails_is_named_with_its_reason(tmp_path: Path, aws: Aws) -> None:
    token = "arn:aws:lambda:us-east-1:000000000000:function:absent"
    broken = {"Type": "AWS::CloudFormation::CustomResource", "Properties": {"ServiceToken": token}}
    assembly = write_assembly(tmp_path, {"Broken": broken}, name="ponte-broken")

    for _ in range(2):
        with pytest.raises(DeployError, match=r"(?s)ponte-broken.*Broken \(.*CustomResource\): .*absent"):
            deploy(assembly, aws)


@pytest.mark.stack
def test_a_template_that_is_refused_says_why(tmp_path: Path, aws: Aws) -> None:
    assembly = write_assembly(tmp_path, {"X": {"Type": "AWS::Nothing::Here"}}, name="ponte-refused")

    with pytest.raises(DeployError, match=r"ponte-refused refused: .*AWS::Nothing::Here"):
        deploy(assembly, aws)
