"""The template of the render stack, as CloudFormation would read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from callback.settings import CallbackSettings, ReportSettings
from infra.constructs.api import ACCESS_LOG_FIELDS
from render.settings import ApiSettings, WorkerSettings
from tests.infra.conftest import FULL, Synthesise
from tests.infra.template import Template

SETTINGS: dict[str, type[BaseSettings]] = {
    "Api": ApiSettings,
    "Worker": WorkerSettings,
    "Callback": CallbackSettings,
    "Report": ReportSettings,
}
# Read by Powertools, the C library and `ponte` themselves, not by a settings class.
COMMON = {"LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "STAGE", "JOBS_TABLE", "REPORT_QUEUE_URL", "TZ"}
ANYTHING: Any = object()


def settings_of(template: Template, name: str, monkeypatch: pytest.MonkeyPatch) -> BaseSettings:
    for variable, value in template.environment(name).items():
        monkeypatch.setenv(variable, value)
    return SETTINGS[name]()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_function_reads_all_its_settings_from_the_template(
    full: Template, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of(full, name, monkeypatch)
    known = {field.upper() for field in SETTINGS[name].model_fields}
    given = set(full.environment(name))
    assert given - known <= COMMON
    required = {f.upper() for f, info in SETTINGS[name].model_fields.items() if info.is_required()}
    assert required <= given


def test_what_the_operator_says_reaches_the_functions(
    full: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = settings_of(full, "Api", monkeypatch)
    assert isinstance(api, ApiSettings)
    assert api.allowed_client_ips == "203.0.113.7,2001:db8::/32"
    assert api.dicom_wado_url == "https://pacs.example/dicom-web"
    assert api.callback_allow_origins == "https://receiver.example:8443"
    worker = settings_of(full, "Worker", monkeypatch)
    assert isinstance(worker, WorkerSettings)
    assert worker.dicom_auth_secret_arn == FULL["dicom_auth_secret_arn"]


def test_locally_an_answer_is_waited_for_and_never_a_link(
    local: Template, full: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (settings_of(template, "Api", monkeypatch) for template in (local, full))
    assert isinstance(here, ApiSettings)
    assert isinstance(there, ApiSettings)
    assert here.sync_wait_seconds == 280
    assert here.inline_pdf_bytes >= 100_000_000
    assert local.function("Api")["Timeout"] == 300
    assert there.sync_wait_seconds == 25
    assert full.function("Api")["Timeout"] == 29
    # A function may answer 6 MB, and the PDF travels as base64.
    assert there.inline_pdf_bytes * 4 / 3 < 6 * 1024 * 1024


@pytest.mark.parametrize("stage", ["full", "local"])
@pytest.mark.parametrize(("function", "queue"), [("Worker", "Render"), ("Callback", "Callback")])
def test_a_message_outlives_every_attempt_and_then_goes_to_the_dead_letters(
    stage: str, function: str, queue: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    template: Template = request.getfixturevalue(stage)
    source = template.properties(template.target(template.output(f"{queue}QueueUrl")))
    assert source["VisibilityTimeout"] >= 6 * template.function(function)["Timeout"]
    assert source["VisibilityTimeout"] <= 12 * 3600
    redrive = source["RedrivePolicy"]
    assert template.target(redrive["deadLetterTargetArn"]) == template.target(
        template.output(f"{queue}DeadLetterUrl")
    )
    settings = settings_of(template, function, monkeypatch)
    assert isinstance(settings, WorkerSettings | CallbackSettings)
    begins = settings.max_attempts if isinstance(settings, WorkerSettings) else settings.max_begins
    # Throttling costs receives too, and must not cost the job.
    assert redrive["maxReceiveCount"] > 5 * begins


def test_the_schedule_of_callbacks_is_that_of_the_standard_and_ends_before_the_job(
    full: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, api = (settings_of(full, name, monkeypatch) for name in ("Callback", "Api"))
    assert isinstance(callback, CallbackSettings)
    assert isinstance(api, ApiSettings)
    hours = 3600
    assert callback.schedule == (
        0, 5, 5 * 60, 30 * 60, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours,
    )  # fmt: skip
    assert sum(callback.schedule) * 1.1 < api.job_retention_days * 86_400


def test_the_scheduler_may_send_to_the_callbacks_queue_and_nowhere_else(full: Template) -> None:
    """FI-23: a retry above 15 minutes is a schedule, whose own failure ends in the dead letters."""
    environment = full.environment("Callback")
    role = environment["SCHEDULER_ROLE_ARN"]
    trust = full.properties(role)["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert set(trust["Condition"]) == {"StringEquals", "ArnEquals"}
    (statement,) = (
        statement
        for policy in full.of_type("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    )
    sends = {full.resolve(resource) for resource in statement["Resource"]}
    assert sends == {environment["CALLBACK_QUEUE_ARN"], environment["CALLBACK_DEAD_LETTER_ARN"]}
    (group,) = full.of_type("AWS::Scheduler::ScheduleGroup").values()
    assert group["Properties"]["Name"] == environment["SCHEDULE_GROUP"]
    (schedules,) = full.actions("Callback", "scheduler")["CreateSchedule"]
    assert schedules.endswith(f":schedule/{environment['SCHEDULE_GROUP']}/*")
    assert full.actions("Callback", "iam") == {"PassRole": {role}}


def test_callbacks_are_signed_with_a_secret_of_enough_length_that_aws_makes(full: Template) -> None:
    secret = full.properties(full.target(full.output("WebhookSecretArn")))
    made = secret["GenerateSecretString"]
    assert (made["PasswordLength"], made["SecretStringTemplate"]) == (64, "{}")
    assert not set("+/=") - set(made["ExcludeCharacters"])
    assert "KmsKeyId" in secret
    assert full.actions("Callback", "secretsmanager") == {
        "GetSecretValue": {full.resolve(full.output("WebhookSecretArn"))}
    }


def test_jobs_are_found_by_exam_and_by_state_and_the_index_holds_nothing_else(full: Template) -> None:
    table = full.properties(full.target(full.output("JobsTable")))
    indexes = {
        index["IndexName"]: ([key["AttributeName"] for key in index["KeySchema"]], index["Projection"])
        for index in table["GlobalSecondaryIndexes"]
    }
    keys_only = {"ProjectionType": "KEYS_ONLY"}
    assert indexes == {
        "by_exam": (["exam_id", "created_at"], keys_only),
        "by_state": (["state", "created_at"], keys_only),
    }


def test_bodies_are_known_again_by_a_key_that_can_do_nothing_else(full: Template) -> None:
    key = full.properties(full.environment("Api")["BODY_KEY_ID"])
    assert (key["KeySpec"], key["KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")
    assert full.actions("Api", "kms")["GenerateMac"] == {full.environment("Api")["BODY_KEY_ID"]}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"api_authorizer": "iam"}, "AWS_IAM"),
        (
            {
                "api_authorizer": "jwt",
                "jwt_issuer": "https://issuer.example",
                "jwt_audience": "ponte",
            },
            "JWT",
        ),
    ],
)
def test_an_authorizer_guards_every_route_but_the_health(
    synth: Synthesise, settings: dict[str, str], kind: str
) -> None:
    template = synth(stage="dev", **settings)
    routes = {
        route["Properties"]["RouteKey"]: route["Properties"]["AuthorizationType"]
        for route in template.of_type("AWS::ApiGatewayV2::Route").values()
    }
    assert routes == {"$default": kind, "GET /health": "NONE"}
    for authorizer in template.of_type("AWS::ApiGatewayV2::Authorizer").values():
        assert authorizer["Properties"]["JwtConfiguration"] == {
            "Audience": ["ponte"],
            "Issuer": "https://issuer.example",
        }


def test_the_operator_sets_how_much_may_be_asked(synth: Synthesise) -> None:
    template = synth(stage="dev", allowed_client_ips="203.0.113.7", api_rate_per_s=5, api_burst=7)
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    limits = stage["Properties"]["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (5, 7)


def test_in_a_private_network_the_api_does_not_ask_the_pacs(
    full: Template, synth: Synthesise, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = settings_of(full, "Api", monkeypatch)
    assert isinstance(api, ApiSettings)
    assert not api.check_pacs


def test_every_queue_is_encrypted_and_takes_tls_alone(full: Template) -> None:
    queues = full.of_type("AWS::SQS::Queue")
    assert len(queues) == 6
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues.values())
    guarded = set()
    for policy in full.of_type("AWS::SQS::QueuePolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}:
                assert statement["Effect"] == "Deny"
                guarded |= {full.target(queue) for queue in policy["Properties"]["Queues"]}
    assert guarded == set(queues)


def test_messages_come_one_by_one_and_report_what_failed(full: Template) -> None:
    mappings = [m["Properties"] for m in full.of_type("AWS::Lambda::EventSourceMapping").values()]
    assert len(mappings) == 3
    for mapping in mappings:
        assert mapping["BatchSize"] == 1
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_job_rows_end_by_themselves_and_are_encrypted_and_recoverable(full: Template) -> None:
    table = full.properties(full.target(full.output("JobsTable")))
    assert table["KeySchema"] == [{"AttributeName": "job_id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"]["SSEType"] == "KMS"
    assert "TableName" not in table


def test_documents_are_private_encrypted_and_end_with_their_job(full: Template) -> None:
    bucket = full.properties(full.target(full.output("PdfBucket")))
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert str(lifecycle["ExpirationInDays"]) == full.environment("Api")["JOB_RETENTION_DAYS"]
    assert bucket["LoggingConfiguration"]["LogFilePrefix"] == "pdfs/"
    assert "BucketName" not in bucket


def test_every_bucket_takes_tls_alone(full: Template) -> None:
    guarded = set()
    for policy in full.of_type("AWS::S3::BucketPolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
                guarded.add(full.target(policy["Properties"]["Bucket"]))
    assert guarded == set(full.of_type("AWS::S3::Bucket"))


def test_keys_are_rotated_and_outlive_a_production_stack(full: Template, local: Template) -> None:
    keys = full.of_type("AWS::KMS::Key").values()
    assert len(keys) == 3
    # KMS does not rotate HMAC keys.
    rotated = [key["Properties"] for key in keys if "KeySpec" not in key["Properties"]]
    assert [key["EnableKeyRotation"] for key in rotated] == [True, True]
    assert {key["DeletionPolicy"] for key in keys} == {"Retain"}
    assert {key["DeletionPolicy"] for key in local.of_type("AWS::KMS::Key").values()} == {"Delete"}


def test_no_function_may_do_everything_of_a_service(full: Template) -> None:
    for name in full.functions():
        for statement in full.statements(name):
            actions = statement["Action"]
            assert not any("*" in action for action in ([actions] if isinstance(actions, str) else actions))


def test_only_traces_and_network_interfaces_have_no_resource(full: Template) -> None:
    for name in full.functions():
        open_actions = {
            action
            for statement in full.statements(name)
            if statement["Resource"] == "*"
            for action in (
                [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            )
        }
        assert {action.split(":")[0] for action in open_actions} <= {"xray", "ec2"}


def test_each_function_reaches_the_documents_only_as_its_work_needs(full: Template) -> None:
    documents = {f"{full.resolve(full.output('PdfBucket'))}/pdf/*"}
    assert full.actions("Worker", "s3") == {"PutObject": documents, "AbortMultipartUpload": documents}
    assert full.actions("Api", "s3") == {"GetObject": documents}
    assert full.actions("Callback", "s3") == {"GetObject": documents}
    assert full.actions("Report", "s3") == {}


def test_each_function_reaches_the_jobs_only_as_its_work_needs(full: Template) -> None:
    allowed = {name: set(full.actions(name, "dynamodb")) for name in full.functions()}
    assert allowed == {
        "Api": {"BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem"},
        "Worker": {"GetItem", "UpdateItem"},
        "Callback": {"GetItem", "UpdateItem"},
        "Report": {"GetItem"},
    }


def test_callers_secrets_are_sealed_by_one_function_and_opened_by_one_and_bound_to_the_job(
    full: Template,
) -> None:
    key = full.target(full.output("SecretsKeyId"))
    found = {}
    for name in full.functions():
        for statement in full.statements(name):
            if statement["Resource"] == {"Fn::GetAtt": [key, "Arn"]}:
                found[name] = (statement["Action"], statement["Condition"])
    bound = {
        "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["job_id"]},
        "Null": {"kms:EncryptionContext:job_id": "false"},
    }
    assert found == {"Api": ("kms:Encrypt", bound), "Callback": ("kms:Decrypt", bound)}


def test_the_data_key_is_used_through_the_services_that_keep_the_data(full: Template) -> None:
    others = {full.target(full.output("SecretsKeyId")), full.environment("Api")["BODY_KEY_ID"]}
    for name in full.functions():
        for statement in full.statements(name):
            actions = statement["Action"]
            first = actions if isinstance(actions, str) else actions[0]
            named = json.dumps(statement["Resource"])
            if first.startswith("kms:") and not any(other in named for other in others):
                assert set(statement["Condition"]["StringEquals"]) == {"kms:ViaService"}


def test_the_worker_alone_reads_the_secret_of_the_pacs(full: Template) -> None:
    assert full.actions("Worker", "secretsmanager") == {"GetSecretValue": {FULL["dicom_auth_secret_arn"]}}
    assert full.actions("Api", "secretsmanager") == {"GetSecretValue": {FULL["api_tokens_secret_arn"]}}
    assert full.actions("Report", "secretsmanager") == {}


def test_messages_are_sent_only_along_the_flow(full: Template) -> None:
    queues = {full.target(full.output(f"{name}QueueUrl")): name for name in ("Render", "Callback", "Report")}
    sends = {
        name: {queues[queue] for queue in full.actions(name, "sqs").get("SendMessage", set())}
        for name in full.functions()
    }
    assert sends == {
        "Api": {"Render", "Callback", "Report"},
        "Worker": {"Callback", "Report"},
        "Callback": {"Callback", "Report"},
        "Report": set(),
    }


def test_the_api_carries_no_imaging(full: Template) -> None:
    def modules(name: str) -> set[str]:
        return {path.stem for layer in full.layer_assets(name) for path in (layer / "python").iterdir()}

    assert modules("Api") == modules("Callback") == modules("Report")
    assert "imaging" not in modules("Api")
    assert modules("Worker") == modules("Api") | {"imaging", "fonts"}
    assert {"ponte", "ponte_aws", "runtime"} <= modules("Api")


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_functions_and_layers_are_of_one_architecture(synth: Synthesise, architecture: str) -> None:
    template = synth(stage="dev", allowed_client_ips="203.0.113.7", architecture=architecture)
    for name in template.functions():
        function = template.function(name)
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [architecture]
        assert function["TracingConfig"] == {"Mode": "Active"}
    for layer in template.of_type("AWS::Lambda::LayerVersion").values():
        assert layer["Properties"]["CompatibleArchitectures"] == [architecture]


def test_logs_are_encrypted_and_end(full: Template) -> None:
    groups = full.of_type("AWS::Logs::LogGroup")
    assert len(groups) == 5
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == 90
        assert "KmsKeyId" in group["Properties"]
    for name in full.functions():
        assert full.target(full.function(name)["LoggingConfig"]["LogGroup"]) in groups


def test_the_access_log_holds_nothing_that_a_caller_may_write_a_name_into(full: Template) -> None:
    (stage,) = full.of_type("AWS::ApiGatewayV2::Stage").values()
    written = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert set(written.values()) == {f"$context.{field}" for field in ACCESS_LOG_FIELDS}
    assert not {"path", "queryString", "userAgent", "domainName"} & set(ACCESS_LOG_FIELDS)


def test_one_route_leads_to_the_api_and_its_rate_is_limited(full: Template) -> None:
    (route,) = full.of_type("AWS::ApiGatewayV2::Route").values()
    assert route["Properties"]["RouteKey"] == "$default"
    (integration,) = full.of_type("AWS::ApiGatewayV2::Integration").values()
    assert integration["Properties"]["PayloadFormatVersion"] == "2.0"
    (stage,) = full.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["StageName"] == "$default"
    assert stage["Properties"]["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0


def test_the_worker_alone_joins_the_network_of_the_pacs(full: Template) -> None:
    assert full.function("Worker")["VpcConfig"] == {
        "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }
    assert "CreateNetworkInterface" in full.actions("Worker", "ec2")
    for name in ("Api", "Callback", "Report"):
        assert "VpcConfig" not in full.function(name)


def test_without_a_log_api_there_is_nothing_that_reports_to_it(synth: Synthesise) -> None:
    template = synth(stage="dev", allowed_client_ips="203.0.113.7")
    assert template.functions() == ["Api", "Worker", "Callback"]
    assert not [name for name in template.content["Outputs"] if name.startswith("Report")]
    assert "REPORT_QUEUE_URL" not in template.environment("Api")


def test_the_outputs_are_those_that_others_read(full: Template) -> None:
    assert set(full.content["Outputs"]) == {
        "ApiUrl",
        "ApiId",
        "JobsTable",
        "PdfBucket",
        "RenderQueueUrl",
        "RenderDeadLetterUrl",
        "CallbackQueueUrl",
        "CallbackDeadLetterUrl",
        "ReportQueueUrl",
        "ReportDeadLetterUrl",
        "ApiFunction",
        "WorkerFunction",
        "CallbackFunction",
        "ReportFunction",
        "SecretsKeyId",
        "WebhookSecretArn",
        "ScheduleGroup",
    }


def test_handlers_are_those_of_the_packages(full: Template) -> None:
    assert {name: full.function(name)["Handler"] for name in full.functions()} == {
        "Api": "render.api.handler",
        "Worker": "render.worker.handler",
        "Callback": "callback.handler.handler",
        "Report": "callback.report.handler",
    }
