"""A study becomes a PDF and a callback: what there is, who may do what with it, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.configuration import Configuration
from infra.constructs.api import Api
from infra.constructs.function import Network, PythonFunction
from infra.constructs.layers import Layers
from infra.constructs.logs import EncryptedLogs
from infra.constructs.observability import Observability
from infra.constructs.queue import WorkQueue
from infra.constructs.storage import PDF_PREFIX, Storage
from infra.stacks.acknowledgments import acknowledge
from infra.stacks.tuning import Tuning

# What DynamoDB and S3 do with our key in the name of the one who reads or writes.
_READ_ACTIONS: Final = ("kms:Decrypt", "kms:DescribeKey")
_WRITE_ACTIONS: Final = (
    *_READ_ACTIONS,
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


class RenderStack(Stack):
    """API, worker, callback; and the report to the operator's log API where `CREATE_LOG_URL` is set."""

    def __init__(self, scope: Construct, *, configuration: Configuration) -> None:
        super().__init__(
            scope,
            f"ponte-{configuration.stage}",
            description="Ponte: a study becomes a PDF and a callback",
            # The emulator has no bootstrap stack whose version could be asked for.
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=not configuration.is_local),
        )
        self._configuration = configuration
        self._tuning = Tuning.of(configuration.stage)
        self._keep = configuration.stage == "prod"
        self.storage = Storage(self, "Storage", retention_days=self._tuning.retention_days, keep=self._keep)
        self._layers = Layers(
            self, "Layers", architecture=configuration.architecture, stubs=configuration.has_stub_layers
        )
        self.queues = self._make_queues()
        self.functions = self._make_functions()
        self.gateway = Api(
            self,
            "Gateway",
            name=self.stack_name,
            function=self.functions["Api"].function,
            logs=self._make_logs("GatewayLogs"),
        )
        self._connect()
        self._grant()
        if not configuration.is_local:  # the emulator keeps no metrics to watch
            self._observe()
        self._put_out()
        acknowledge(
            storage=self.storage,
            gateway=self.gateway,
            functions=self.functions.values(),
            with_pdfs=[self.functions[name] for name in ("Api", "Worker", "Callback")],
        )

    # What there is.

    def _make_queues(self) -> dict[str, WorkQueue]:
        tuning = self._tuning
        wanted = {
            "Render": (tuning.worker_timeout_s, tuning.render_attempts),
            "Callback": (tuning.callback_timeout_s, tuning.callback_attempts),
        }
        if self._configuration.create_log_url:
            wanted["Report"] = (tuning.report_timeout_s, tuning.report_attempts)
        return {
            name: WorkQueue(self, f"{name}Queue", function_timeout_s=timeout_s, max_attempts=attempts)
            for name, (timeout_s, attempts) in wanted.items()
        }

    def _make_functions(self) -> dict[str, PythonFunction]:
        functions = {
            "Api": self._make_api(),
            "Worker": self._make_worker(),
            "Callback": self._make_callback(),
        }
        if "Report" in self.queues:
            functions["Report"] = self._make_report()
        return functions

    def _make_api(self) -> PythonFunction:
        configuration, tuning = self._configuration, self._tuning
        return self._make_function(
            "Api",
            handler="render.api.handler",
            timeout_s=tuning.api_timeout_s,
            memory_mb=1024,
            environment={
                "PDF_BUCKET": self.storage.pdfs.bucket_name,
                "RENDER_QUEUE_URL": self.queues["Render"].queue.queue_url,
                "SECRETS_KEY_ID": self.storage.secrets_key.key_id,
                "DICOM_WADO_URL": configuration.dicom_wado_url,
                "ALLOWED_CLIENT_IPS": ",".join(configuration.allowed_client_ips),
                "CALLBACK_ALLOW_ORIGINS": ",".join(configuration.callback_allow_origins),
                "DEFAULT_MAX_WORKERS": str(configuration.default_max_workers),
                "MAX_ALLOWED_WORKERS": str(configuration.max_allowed_workers),
                "SYNC_WAIT_SECONDS": str(tuning.sync_wait_s),
                "INLINE_PDF_BYTES": str(tuning.inline_pdf_bytes),
                "JOB_RETENTION_DAYS": str(tuning.retention_days),
            },
        )

    def _make_worker(self) -> PythonFunction:
        configuration, tuning = self._configuration, self._tuning
        network = Network(configuration.vpc_id, configuration.subnet_ids, configuration.security_group_ids)
        return self._make_function(
            "Worker",
            handler="render.worker.handler",
            timeout_s=tuning.worker_timeout_s,
            memory_mb=configuration.worker_memory_mb,
            ephemeral_storage_mb=tuning.worker_storage_mb,
            imaging=True,
            network=network if configuration.vpc_id else None,
            environment={
                "PDF_BUCKET": self.storage.pdfs.bucket_name,
                "RENDER_QUEUE_URL": self.queues["Render"].queue.queue_url,
                "CALLBACK_QUEUE_URL": self.queues["Callback"].queue.queue_url,
                "DICOM_WADO_URL": configuration.dicom_wado_url,
                "DICOM_AUTH_SECRET_ARN": configuration.dicom_auth_secret_arn,
                "MAX_ALLOWED_WORKERS": str(configuration.max_allowed_workers),
                "MAX_ATTEMPTS": str(tuning.render_attempts),
                "LEASE_SECONDS": str(tuning.lease_s),
                "RETRY_BASE_SECONDS": str(tuning.retry_base_s),
                "PDF_LANGUAGE": configuration.pdf_language,
            },
        )

    def _make_callback(self) -> PythonFunction:
        tuning = self._tuning
        return self._make_function(
            "Callback",
            handler="callback.handler.handler",
            timeout_s=tuning.callback_timeout_s,
            memory_mb=512,
            environment={
                "PDF_BUCKET": self.storage.pdfs.bucket_name,
                "CALLBACK_QUEUE_URL": self.queues["Callback"].queue.queue_url,
                "SECRETS_KEY_ID": self.storage.secrets_key.key_id,
                "CALLBACK_ALLOW_ORIGINS": ",".join(self._configuration.callback_allow_origins),
                "MAX_ATTEMPTS": str(tuning.callback_attempts),
                "RETRY_BASE_SECONDS": str(tuning.retry_base_s),
            },
        )

    def _make_report(self) -> PythonFunction:
        return self._make_function(
            "Report",
            handler="callback.report.handler",
            timeout_s=self._tuning.report_timeout_s,
            memory_mb=256,
            environment={"CREATE_LOG_URL": self._configuration.create_log_url},
        )

    def _make_function(
        self,
        construct_id: str,
        *,
        handler: str,
        timeout_s: int,
        memory_mb: int,
        environment: Mapping[str, str],
        imaging: bool = False,
        ephemeral_storage_mb: int = 512,
        network: Network | None = None,
    ) -> PythonFunction:
        layers = [self._layers.ponte, self._layers.runtime, *([self._layers.imaging] if imaging else [])]
        return PythonFunction(
            self,
            construct_id,
            handler=handler,
            architecture=self._configuration.architecture,
            layers=layers,
            logs=self._make_logs(f"{construct_id}Logs"),
            environment={**self._common_environment(construct_id), **environment},
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            ephemeral_storage_mb=ephemeral_storage_mb,
            network=network,
        )

    def _common_environment(self, construct_id: str) -> dict[str, str]:
        report = self.queues.get("Report")
        return {
            "STAGE": self._configuration.stage,
            "LOG_LEVEL": self._configuration.log_level,
            "TZ": self._configuration.tz,
            "POWERTOOLS_SERVICE_NAME": construct_id.lower(),
            "JOBS_TABLE": self.storage.jobs.table_name,
            **({"REPORT_QUEUE_URL": report.queue.queue_url} if report else {}),
        }

    def _make_logs(self, construct_id: str) -> EncryptedLogs:
        return EncryptedLogs(
            self,
            construct_id,
            key=self.storage.data_key,
            retention_days=self._configuration.log_retention_days,
            keep=self._keep,
        )

    # Who is called with what.

    def _connect(self) -> None:
        tuning, local = self._tuning, self._configuration.is_local
        render_concurrency = 2 if local else self._configuration.render_concurrency
        self.functions["Worker"].consume(self.queues["Render"].queue, max_concurrency=render_concurrency)
        self.functions["Callback"].consume(
            self.queues["Callback"].queue, max_concurrency=tuning.callback_concurrency
        )
        if "Report" in self.queues:
            self.functions["Report"].consume(
                self.queues["Report"].queue, max_concurrency=tuning.report_concurrency
            )

    def _observe(self) -> None:
        Observability(
            self,
            "Observability",
            name=self.stack_name,
            api=self.gateway.api,
            functions=self.functions,
            queues=self.queues,
            topic_arn=self._configuration.alarm_topic_arn,
        )

    # Who may do what.

    def _grant(self) -> None:
        self._grant_jobs()
        self._grant_pdfs()
        self._grant_secrets()
        self._grant_queues()

    def _grant_jobs(self) -> None:
        actions = {
            "Api": ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
            "Worker": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
            "Callback": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
            "Report": ("dynamodb:GetItem",),
        }
        for name, function in self.functions.items():
            self._allow(function, actions[name], self.storage.jobs.table_arn)
            self._allow_key(function, "dynamodb", _READ_ACTIONS if name == "Report" else _WRITE_ACTIONS)

    def _grant_pdfs(self) -> None:
        documents = self.storage.pdfs.arn_for_objects(f"{PDF_PREFIX}*")
        self._allow(self.functions["Worker"], ("s3:PutObject", "s3:AbortMultipartUpload"), documents)
        self._allow_key(self.functions["Worker"], "s3", ("kms:Decrypt", "kms:GenerateDataKey"))
        for name in ("Api", "Callback"):
            self._allow(self.functions[name], ("s3:GetObject",), documents)
            self._allow_key(self.functions[name], "s3", ("kms:Decrypt",))

    def _grant_secrets(self) -> None:
        """The callers' secrets, only ever with the id of their job; and what the PACS wants from us."""
        key = self.storage.secrets_key.key_arn
        bound: Mapping[str, Mapping[str, object]] = {
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["job_id"]},
            "Null": {"kms:EncryptionContext:job_id": "false"},
        }
        self._allow(self.functions["Api"], ("kms:Encrypt",), key, bound)
        self._allow(self.functions["Callback"], ("kms:Decrypt",), key, bound)
        if secret := self._configuration.dicom_auth_secret_arn:
            self._allow(self.functions["Worker"], ("secretsmanager:GetSecretValue",), secret)
        if secret_key := self._configuration.dicom_auth_key_arn:
            self._allow(self.functions["Worker"], ("kms:Decrypt",), secret_key, self._via("secretsmanager"))

    def _grant_queues(self) -> None:
        self.queues["Render"].queue.grant_send_messages(self.functions["Api"].role)
        self.queues["Callback"].queue.grant_send_messages(self.functions["Worker"].role)
        if report := self.queues.get("Report"):
            for name in ("Api", "Worker", "Callback"):
                report.queue.grant_send_messages(self.functions[name].role)

    def _allow(
        self,
        function: PythonFunction,
        actions: tuple[str, ...],
        resource: str,
        conditions: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        statement = iam.PolicyStatement(actions=list(actions), resources=[resource], conditions=conditions)
        function.role.add_to_policy(statement)

    def _allow_key(
        self, function: PythonFunction, service: Literal["dynamodb", "s3"], actions: tuple[str, ...]
    ) -> None:
        """The data key, through the service that keeps the data and in no other way."""
        self._allow(function, actions, self.storage.data_key.key_arn, self._via(service))

    def _via(self, service: str) -> dict[str, dict[str, object]]:
        return {"StringEquals": {"kms:ViaService": f"{service}.{self.region}.amazonaws.com"}}

    # What it is called.

    def _put_out(self) -> None:
        outputs = {
            "ApiUrl": self.gateway.api.api_endpoint,
            "ApiId": self.gateway.api.api_id,
            "JobsTable": self.storage.jobs.table_name,
            "PdfBucket": self.storage.pdfs.bucket_name,
            "SecretsKeyId": self.storage.secrets_key.key_id,
        }
        for name, queue in self.queues.items():
            outputs[f"{name}QueueUrl"] = queue.queue.queue_url
            outputs[f"{name}DeadLetterUrl"] = queue.dead_letters.queue_url
        for name, function in self.functions.items():
            outputs[f"{name}Function"] = function.function.function_name
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
