"""Findings of cdk-nag that stand, each with its reason. Any other finding fails a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct

from infra.constructs.classify import RESULT_PREFIX
from infra.constructs.edge import INBOX_PREFIX, Edge
from infra.constructs.function import PythonFunction
from infra.constructs.inbox import OWN_PREFIXES, Inbox
from infra.constructs.scheduler import DelayedMessages
from infra.constructs.storage import PDF_PREFIX, Storage

FUNCTIONS: Final = {
    "AwsSolutions-IAM5[Resource::*]": (
        "X-Ray takes segments, EC2 makes a function's network interfaces, on resources without a name yet."
    ),
    "AwsSolutions-L1": "The layers' locked wheels are built and tested for Python 3.13.",
    "HIPAA.Security-IAMNoInlinePolicy": (
        "Each function has a role of its own, and its policy lives and dies with that role."
    ),
    "HIPAA.Security-LambdaConcurrency": (
        "The event source mappings cap concurrency towards the PACS and the receivers, throttling that of "
        "the API; reserving would take from the account's pool, which is 10 in a new account."
    ),
    "HIPAA.Security-LambdaDLQ": (
        "No function is invoked asynchronously; the queues that feed them have dead-letter queues."
    ),
    "HIPAA.Security-LambdaInsideVPC": (
        "Worker and ingest join the network of the PACS where one is given (vpc_id); the others only use "
        "AWS's own endpoints, over TLS, and the receiver of the callback, which is on the public network."
    ),
}
GATEWAY: Final = {
    "AwsSolutions-APIG4": (
        "The function refuses callers by the gateway's own source address (ALLOWED_CLIENT_IPS); without it "
        "no stage but the local one synthesises."
    ),
}
WEBHOOK_SECRET: Final = {
    "AwsSolutions-SMG4": (
        "A new secret must first be known to every receiver, so the operator rotates it with them; two may "
        "be in use at once (docs/deploy.md)."
    ),
    "HIPAA.Security-SecretsManagerRotationEnabled": (
        "A new secret must first be known to every receiver, so the operator rotates it with them."
    ),
}
SCHEDULER_ROLE: Final = {
    "HIPAA.Security-IAMNoInlinePolicy": (
        "The scheduler has a role of its own, and its policy lives and dies with that role."
    ),
}
TABLE: Final = {
    "HIPAA.Security-DynamoDBInBackupPlan": (
        "Rows live for seven days, with point-in-time recovery; a backup would keep them longer."
    ),
}
PDFS: Final = {
    "HIPAA.Security-S3BucketReplicationEnabled": (
        "Documents live for seven days and can be rendered again from the PACS, which holds the originals."
    ),
    "HIPAA.Security-S3BucketVersioningEnabled": (
        "A document is written once, under its own name; versions would keep patient data after deletion."
    ),
}
INBOX: Final = {
    "HIPAA.Security-S3BucketReplicationEnabled": (
        "An archive comes from a clinic that keeps its own, and its instances are in the PACS; the operator "
        "who wants a second region replicates the bucket."
    ),
}
INBOX_TABLE: Final = {
    "HIPAA.Security-DynamoDBInBackupPlan": (
        "Point-in-time recovery covers 35 days; without a ledger instances are sent again, and none is lost."
    ),
}
EDGE_POLICY: Final = {
    "AwsSolutions-IAM5[Resource::*]": (
        "PutMetricData knows no resources; a condition binds it to the namespace of the boxes."
    ),
}
ACCESS_LOGS: Final = {
    "HIPAA.Security-S3BucketReplicationEnabled": "Access logs name jobs and addresses, and live for a year.",
    "HIPAA.Security-S3BucketVersioningEnabled": "The log delivery service writes each object once.",
    "HIPAA.Security-S3DefaultEncryptionKMS": "Log delivery writes under S3's own key alone.",
}


def acknowledge(
    *,
    storage: Storage,
    gateway: IConstruct,
    webhook_secret: IConstruct,
    delayed: DelayedMessages,
    functions: Mapping[str, PythonFunction],
    model_objects: str,
    inbox: Inbox | None,
    edge: Edge | None,
) -> None:
    """Record on each construct which findings stand, and why."""
    for function in functions.values():
        _record(function, FUNCTIONS)
    for name in ("Api", "Worker", "Callback"):
        _record(functions[name], _any_document(storage))
    if "Classify" in functions:
        _record(functions["Classify"], _any_result(storage, model_objects))
    _record(functions["Callback"], _any_schedule(delayed))
    _record(delayed, SCHEDULER_ROLE)
    _record(webhook_secret, WEBHOOK_SECRET)
    _record(gateway, GATEWAY)
    _record(storage.jobs, TABLE)
    _record(storage.pdfs, PDFS)
    _record(storage.access_logs, ACCESS_LOGS)
    if inbox is not None:
        _record(functions["Ingest"], _any_archive(inbox))
        _record(inbox.bucket, INBOX)
        for table in (inbox.archives, inbox.ledger):
            _record(table, INBOX_TABLE)
    if edge is not None:
        _record(edge.policy, EDGE_POLICY | (_any_upload(inbox) if inbox else {}))


def _any_document(storage: Storage) -> dict[str, str]:
    bucket = storage.pdfs.node.default_child
    name = Stack.of(storage).get_logical_id(bucket)  # type: ignore[arg-type]  # a bucket has a CfnBucket
    finding = f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{PDF_PREFIX}*]"
    return {finding: "Documents are named by jobs to come; the prefix is all that is known."}


def _any_result(storage: Storage, model_objects: str) -> dict[str, str]:
    bucket = storage.pdfs.node.default_child
    name = Stack.of(storage).get_logical_id(bucket)  # type: ignore[arg-type]  # a bucket has a CfnBucket
    return {
        f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{RESULT_PREFIX}*]": (
            "Results are named by studies to come; the prefix is all that is known."
        ),
        f"AwsSolutions-IAM5[Resource::{model_objects}]": (
            "The manifest beside the model says what the model's file is called."
        ),
    }


def _any_archive(inbox: Inbox) -> dict[str, str]:
    bucket = inbox.bucket.node.default_child
    name = Stack.of(inbox).get_logical_id(bucket)  # type: ignore[arg-type]  # a bucket has a CfnBucket
    written = "Reports, their parts and the quarantine are named by archives to come; it writes there alone."
    return {
        f"AwsSolutions-IAM5[Resource::<{name}.Arn>/*]": (
            "Archives are named by those who put them there, so every object of the inbox may be read."
        ),
        **{f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{prefix}*]": written for prefix in OWN_PREFIXES},
    }


def _any_upload(inbox: Inbox) -> dict[str, str]:
    bucket = inbox.bucket.node.default_child
    name = Stack.of(inbox).get_logical_id(bucket)  # type: ignore[arg-type]  # a bucket has a CfnBucket
    finding = f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{INBOX_PREFIX}*]"
    return {finding: "A box names archives by studies to come; the prefix is all that is known."}


def _any_schedule(delayed: DelayedMessages) -> dict[str, str]:
    place = "arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule"
    finding = f"AwsSolutions-IAM5[Resource::{place}/{delayed.group_name}/*]"
    return {
        finding: "Schedules are named by attempts to come; the group, which is ours, is all that is known."
    }


def _record(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items())
    )
