"""What ZIP ingest adds to the stack, as CloudFormation would read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from infra.configuration import Configuration, ConfigurationError
from infra.constructs.inbox import OWN_PREFIXES
from ponte.dedup import Policy
from tests.infra.conftest import INGESTING, Synthesise
from tests.infra.template import Template
from zip_ingest import events, report
from zip_ingest.settings import IngestSettings, WebhookSettings

SETTINGS: dict[str, type[BaseSettings]] = {"Ingest": IngestSettings, "IngestWebhook": WebhookSettings}
COMMON = {"LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "STAGE", "JOBS_TABLE", "REPORT_QUEUE_URL", "TZ"}
DESTINATION = "https://pacs.example/dicom-web"


def queue_names(template: Template) -> dict[str, str]:
    names = ("Render", "Ingest", "IngestWebhook", "Classify", "Callback", "Report")
    return {template.target(template.output(f"{name}QueueUrl")): name for name in names}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_function_reads_all_its_settings_from_the_template(
    ingesting: Template, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ingesting.environment(name).items():
        monkeypatch.setenv(variable, value)
    SETTINGS[name]()
    known = {field.upper() for field in SETTINGS[name].model_fields}
    assert set(ingesting.environment(name)) - known <= COMMON
    required = {f.upper() for f, info in SETTINGS[name].model_fields.items() if info.is_required()}
    assert required <= set(ingesting.environment(name))


def test_what_the_operator_says_reaches_the_function(
    ingesting: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ingesting.environment("Ingest").items():
        monkeypatch.setenv(variable, value)
    settings = IngestSettings()
    assert settings.ingest_destination == INGESTING["ingest_destination"]
    assert settings.ingest_auth_secret_arn == INGESTING["ingest_auth_secret_arn"]
    assert settings.dedup_policy is Policy.UID_THEN_SHA256
    assert settings.render_ingested
    assert settings.classify_queue_url
    assert settings.webhook_queue_url
    assert settings.margin_seconds < ingesting.function("Ingest")["Timeout"] / 2


def test_without_a_destination_there_is_no_inbox(full: Template) -> None:
    assert not {"Ingest", "IngestWebhook"} & set(full.functions())
    assert "InboxBucket" not in full.content["Outputs"]


def test_with_a_destination_alone_nobody_else_is_told(synth: Synthesise) -> None:
    template = synth(stage="dev", allowed_client_ips="203.0.113.7", ingest_destination=DESTINATION)
    assert template.functions() == ["Api", "Worker", "Callback", "Ingest"]
    given = set(template.environment("Ingest"))
    assert not {"CLASSIFY_QUEUE_URL", "WEBHOOK_QUEUE_URL", "RENDER_INGESTED", "RENDER_QUEUE_URL"} & given
    assert "TransactWriteItems" not in template.actions("Ingest", "dynamodb")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"classify": True}, "INGEST_DESTINATION is not set"),
        ({"ingest_webhook_url": "https://receiver.example/"}, "INGEST_DESTINATION is not set"),
        ({"ingest_destination": DESTINATION, "render_ingested": True}, "needs DICOM_WADO_URL"),
        ({"ingest_destination": "pacs.example:4242"}, "INGEST_DESTINATION"),
        ({"ingest_destination": "ftp://pacs.example"}, "INGEST_DESTINATION"),
        ({"ingest_destination": "orthanc+https://user:word@pacs.example"}, "holds credentials"),
        ({"ingest_destination": "https://user@pacs.example"}, "holds credentials"),
        ({"ingest_destination": DESTINATION, "dedup_policy": "none"}, "DEDUP_POLICY"),
        ({"ingest_destination": DESTINATION, "ingest_webhook_url": "receiver"}, "INGEST_WEBHOOK_URL"),
        ({"ingest_destination": DESTINATION, "ingest_auth_secret_arn": "secret"}, "INGEST_AUTH_SECRET_ARN"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Configuration.read({"allowed_client_ips": "203.0.113.7", **given}.get, {})
    assert "word@" not in str(caught.value)


def test_the_inbox_tells_its_queue_of_archives_alone(ingesting: Template) -> None:
    name = ingesting.target(ingesting.output("InboxBucket"))
    bucket = ingesting.properties(name)
    queue = ingesting.target(ingesting.output("IngestQueueUrl"))
    rules = bucket["NotificationConfiguration"]["QueueConfigurations"]
    assert {ingesting.target(rule["Queue"]) for rule in rules} == {queue}
    assert {rule["Event"] for rule in rules} == {"s3:ObjectCreated:*"}
    filters = [rule["Filter"]["S3Key"]["Rules"] for rule in rules]
    assert filters == [[{"Name": "suffix", "Value": suffix}] for suffix in (".zip", ".ZIP")]
    # S3 tests whether it may send when the bucket is made.
    policies = ingesting.content["Resources"][name]["DependsOn"]
    assert any(ingesting.content["Resources"][one]["Type"] == "AWS::SQS::QueuePolicy" for one in policies)


def test_only_s3_of_this_account_may_send_events(ingesting: Template) -> None:
    queue = ingesting.target(ingesting.output("IngestQueueUrl"))
    statements = [
        statement
        for policy in ingesting.of_type("AWS::SQS::QueuePolicy").values()
        if queue in {ingesting.target(one) for one in policy["Properties"]["Queues"]}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    (statement,) = statements
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_inbox_is_private_encrypted_and_keeps_every_version_for_a_while(ingesting: Template) -> None:
    bucket = ingesting.properties(ingesting.target(ingesting.output("InboxBucket")))
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["LoggingConfiguration"]["LogFilePrefix"] == "inbox/"


def test_no_original_no_report_and_nothing_in_quarantine_ends_by_itself(ingesting: Template) -> None:
    bucket = ingesting.properties(ingesting.target(ingesting.output("InboxBucket")))
    ending = [
        rule.get("Prefix", "")
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    ]
    assert ending == ["parts/"]


def test_the_ledger_never_forgets_and_both_tables_can_be_recovered(ingesting: Template) -> None:
    archives, ledger = (
        ingesting.properties(ingesting.target(ingesting.output(name)))
        for name in ("ArchivesTable", "LedgerTable")
    )
    assert archives["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert "TimeToLiveSpecification" not in ledger
    for table in (archives, ledger):
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["SSESpecification"]["SSEType"] == "KMS"
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_ingest_reads_the_inbox_and_writes_below_its_own_prefixes_alone(ingesting: Template) -> None:
    bucket = ingesting.resolve(ingesting.output("InboxBucket"))
    own = {f"{bucket}/{prefix}*" for prefix in OWN_PREFIXES}
    assert ingesting.actions("Ingest", "s3") == {
        "GetObject": {f"{bucket}/*"},
        "GetObjectVersion": {f"{bucket}/*"},
        "ListBucket": {bucket},
        "PutObject": own,
        "AbortMultipartUpload": own,
    }
    assert ingesting.actions("IngestWebhook", "s3") == {}


def test_where_ingest_writes_is_where_it_never_reads_archives_from() -> None:
    assert set(events.OWN_PREFIXES) == set(OWN_PREFIXES)
    assert {report.PREFIX, report.PARTS_PREFIX} <= set(OWN_PREFIXES)


def test_each_function_reaches_the_tables_only_as_its_work_needs(ingesting: Template) -> None:
    archives, ledger, jobs = (
        ingesting.resolve(ingesting.output(name)) for name in ("ArchivesTable", "LedgerTable", "JobsTable")
    )
    assert ingesting.actions("Ingest", "dynamodb") == {
        "GetItem": {archives, ledger, jobs},
        "PutItem": {archives, ledger, jobs},
        "UpdateItem": {archives},
        "DeleteItem": {ledger},
    }
    assert ingesting.actions("IngestWebhook", "dynamodb") == {"GetItem": {archives}}


def test_messages_are_sent_only_along_the_flow(ingesting: Template) -> None:
    queues = queue_names(ingesting)
    dead = ingesting.target(ingesting.output("IngestDeadLetterUrl"))
    sends = ingesting.actions("Ingest", "sqs")["SendMessage"]
    assert {queues.get(one, one) for one in sends} == {"Ingest", "IngestWebhook", "Classify", "Render", dead}
    assert "SendMessage" not in ingesting.actions("IngestWebhook", "sqs")


def test_each_reads_its_own_secret(ingesting: Template) -> None:
    ours = ingesting.resolve(ingesting.output("WebhookSecretArn"))
    assert ingesting.actions("Ingest", "secretsmanager") == {
        "GetSecretValue": {INGESTING["ingest_auth_secret_arn"]}
    }
    assert ingesting.actions("IngestWebhook", "secretsmanager") == {"GetSecretValue": {ours}}


def test_no_action_and_no_key_is_open(ingesting: Template) -> None:
    for name in SETTINGS:
        for statement in ingesting.statements(name):
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            assert not any("*" in action for action in actions)
            if actions[0].startswith("kms:"):
                assert set(statement["Condition"]["StringEquals"]) == {"kms:ViaService"}
            if statement["Resource"] == "*":
                assert {action.split(":")[0] for action in actions} <= {"xray", "ec2"}


def test_ingest_joins_the_network_of_the_pacs_and_the_webhook_does_not(ingesting: Template) -> None:
    assert ingesting.function("Ingest")["VpcConfig"]["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
    assert "VpcConfig" not in ingesting.function("IngestWebhook")


def test_ingest_carries_the_dicom_network_and_no_imaging(ingesting: Template) -> None:
    def modules(name: str) -> set[str]:
        return {path.stem for layer in ingesting.layer_assets(name) for path in (layer / "python").iterdir()}

    assert modules("Ingest") == modules("Api") | {"network"}
    assert modules("IngestWebhook") == modules("Api")
    assert ingesting.function("Ingest")["EphemeralStorage"] == {"Size": 10_240}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_message_outlives_its_function_and_then_goes_to_the_dead_letters(
    ingesting: Template, name: str
) -> None:
    source = ingesting.properties(ingesting.target(ingesting.output(f"{name}QueueUrl")))
    assert 6 * ingesting.function(name)["Timeout"] <= source["VisibilityTimeout"] <= 12 * 3600
    assert source["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_the_load_on_the_destination_is_capped(ingesting: Template, synth: Synthesise) -> None:
    for template, wanted in (
        (ingesting, 2),
        (
            synth(
                stage="dev",
                allowed_client_ips="203.0.113.7",
                ingest_destination=DESTINATION,
                ingest_concurrency=7,
            ),
            7,
        ),
    ):
        queue = template.target(template.output("IngestQueueUrl"))
        (mapping,) = [
            one["Properties"]
            for one in template.of_type("AWS::Lambda::EventSourceMapping").values()
            if template.target(one["Properties"]["EventSourceArn"]) == queue
        ]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] == wanted
        assert mapping["BatchSize"] == 1


def test_dead_letters_setbacks_and_conflicts_wake_somebody(ingesting: Template) -> None:
    alarms = [alarm["Properties"] for alarm in ingesting.of_type("AWS::CloudWatch::Alarm").values()]
    watched = {
        ingesting.resolve(alarm["Dimensions"][0]["Value"])
        for alarm in alarms
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
    }
    for name in ("Ingest", "IngestWebhook", "Classify"):
        assert ingesting.target(ingesting.output(f"{name}DeadLetterUrl")) in watched
    named = {alarm.get("MetricName") for alarm in alarms}
    assert {"IngestSetbacks", "IngestReasons"} <= named
    assert all(alarm["AlarmActions"] == [INGESTING["alarm_topic_arn"]] for alarm in alarms)


def test_the_dashboard_shows_what_came_in(ingesting: Template, full: Template) -> None:
    def body(template: Template) -> str:
        (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard").values()
        return json.dumps(dashboard["Properties"]["DashboardBody"])

    for metric in ("IngestEntries", "IngestBytes", "IngestLatencySeconds", "ArchivesSettled"):
        assert metric in body(ingesting)
        assert metric not in body(full)
