"""Bring a synthesised CDK app into whatever `AWS_ENDPOINT_URL` names, by boto3 alone."""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from infra.local.assembly import Asset, Stack, Template, stacks, zip_folder
from infra.local.aws import REGION, Aws
from infra.local.errors import DeployError

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "30"
BOOTSTRAP_BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
DEPLOY_S = 300
POLL_S = 0.2
CAPABILITIES: list[Any] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def deploy(assembly: Path, aws: Aws, *, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Deploy every stack of the assembly and return all their outputs.

    `environment` replaces variables that a function's template already names: those that change with each
    start (ports, addresses), so that one synthesis serves them all. Raises `DeployError` with the resources
    that failed and why.
    """
    pseudo = {"${AWS::AccountId}": aws.account_id(), "${AWS::Region}": REGION, "${AWS::Partition}": "aws"}
    aws.put_parameter(BOOTSTRAP_PARAMETER, BOOTSTRAP_VERSION)
    outputs: dict[str, str] = {}
    for stack in stacks(assembly):
        publish(stack.assets, aws, pseudo)
        template = with_environment(stack.template, environment or {})
        outputs |= _deploy_stack(stack, _publish_template(template, aws, pseudo), aws)
    return outputs


def publish(assets: Iterable[Asset], aws: Aws, pseudo: Mapping[str, str]) -> None:
    """Upload what the bucket does not hold yet: keys are digests of the contents."""
    with tempfile.TemporaryDirectory(prefix="ponte-assets-") as temporary:
        for asset in assets:
            bucket, key = fill(asset.bucket, pseudo), fill(asset.key, pseudo)
            _ensure_bucket(bucket, aws)
            if _exists(bucket, key, aws):
                continue
            path = asset.path
            if asset.zipped and path.is_dir():
                path = Path(temporary) / "asset.zip"
                zip_folder(asset.path, path)
            aws.s3.upload_file(str(path), bucket, key)


def fill(text: str, pseudo: Mapping[str, str]) -> str:
    """Replace CloudFormation's pseudo parameters, as the CDK command line does before it publishes."""
    for name, value in pseudo.items():
        text = text.replace(name, value)
    return text


def with_environment(template: Template, environment: Mapping[str, str]) -> Template:
    """The template with those of the variables replaced that a function already declares."""
    changed = copy.deepcopy(template)
    for resource in changed.get("Resources", {}).values():
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"].get("Environment", {}).get("Variables", {})
            variables.update({name: value for name, value in environment.items() if name in variables})
    return changed


def _publish_template(template: Template, aws: Aws, pseudo: Mapping[str, str]) -> str:
    """Upload the template, which may exceed what a request can carry, and return its address."""
    body = json.dumps(template, sort_keys=True).encode()
    bucket = fill(BOOTSTRAP_BUCKET, pseudo)
    key = hashlib.sha256(body).hexdigest() + ".json"
    _ensure_bucket(bucket, aws)
    aws.s3.put_object(Bucket=bucket, Key=key, Body=body)
    return f"{aws.endpoint_url}/{bucket}/{key}"


def _ensure_bucket(bucket: str, aws: Aws) -> None:
    try:
        aws.s3.head_bucket(Bucket=bucket)
    except ClientError:
        aws.s3.create_bucket(Bucket=bucket)


def _exists(bucket: str, key: str, aws: Aws) -> bool:
    try:
        aws.s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    return True


def _deploy_stack(stack: Stack, template_url: str, aws: Aws) -> dict[str, str]:
    """Create the stack, or update it where it exists; returns its outputs."""
    client = aws.cloudformation
    known = _is_deployed(stack.name, aws)
    try:
        if known:
            client.update_stack(StackName=stack.name, TemplateURL=template_url, Capabilities=CAPABILITIES)
        else:
            client.create_stack(StackName=stack.name, TemplateURL=template_url, Capabilities=CAPABILITIES)
        waiter = client.get_waiter("stack_update_complete" if known else "stack_create_complete")
        waiter.wait(
            StackName=stack.name,
            WaiterConfig={"Delay": POLL_S, "MaxAttempts": int(DEPLOY_S / POLL_S)},  # type: ignore[typeddict-item]  # a fraction serves
        )
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeployError(f"stack {stack.name} refused: {error}") from error
    except WaiterError as error:
        raise DeployError(f"stack {stack.name}: {_failures(stack.name, aws)}") from error
    described = client.describe_stacks(StackName=stack.name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def _is_deployed(name: str, aws: Aws) -> bool:
    """Whether there is a stack to update; one whose creation failed is removed first."""
    client = aws.cloudformation
    try:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    except ClientError:
        return False
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"):
        client.delete_stack(StackName=name)
        client.get_waiter("stack_delete_complete").wait(StackName=name)
        return False
    return status != "DELETE_COMPLETE"


def _failures(name: str, aws: Aws) -> str:
    """Each resource that failed, with the reason, the first one first."""
    events = aws.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    lines = [
        f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {event.get('ResourceStatusReason')}"
        for event in reversed(events)
        if event.get("ResourceStatus", "").endswith("FAILED") and event.get("ResourceStatusReason")
    ]
    return "\n  ".join(["these resources failed:", *lines]) if lines else "it did not come up in time"
