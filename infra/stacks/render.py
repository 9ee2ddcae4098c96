"""A study becomes a PDF and a callback: what there is, who may do what with it, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Stack
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer, HttpJwtAuthorizer
from constructs import Construct

from infra.configuration import Configuration
from infra.constructs.api import Api, Authorizer
from infra.constructs.classify import Classification, model_objects
from infra.constructs.edge import Edge
from infra.constructs.function import Network, PythonFunction
from infra.constructs.layers import Layers
from infra.constructs.logs import EncryptedLogs
from infra.constructs.observability import Observability
from infra.constructs.queue import WorkQueue
from infra.constructs.scheduler import DelayedMessages
from infra.constructs.storage import PDF_PREFIX, Storage
from infra.constructs.webhook_secret import WebhookSecret
from infra.stacks.access import READ_ACTIONS, WRITE_ACTIONS, allow, allow_key, allow_secret
from infra.stacks.acknowledgments import acknowledge
from infra.stacks.ingest import Ingest
from infra.stacks.tuning import Tuning
from ponte_aws.listing import BY_EXAM, BY_STATE


class RenderStack(Stack):
    """API, worker, callback; with `CREATE_LOG_URL` the report to the operator's log API, with
    `INGEST_DESTINATION` ZIP ingest."""

    def __init__(self, scope: Construct, *, configuration: Configuration) -> None:
        super().__init__(
            scope,
            f"ponte-{configuration.stage}",
            description="Ponte: a study becomes a PDF and a callback, an archive becomes studies",
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
        self.webhook_secret = WebhookSecret(self, "WebhookSecret", key=self.storage.data_key, keep=self._keep)
        self.queues = self._make_queues()
        self.delayed = DelayedMessages(self, "DelayedCallbacks", queue=self.queues["Callback"])
        self.functions = self._make_functions()
        self.gateway = Api(
            self,
            "Gateway",
            name=self.stack_name,
            function=self.functions["Api"].function,
            logs=self._make_logs("GatewayLogs"),
            authorizer=self._make_authorizer(),
            rate_per_s=configuration.api_rate_per_s,
            burst=configuration.api_burst,
        )
        self._connect()
        self._grant()
        self.ingest = self._make_ingest() if configuration.ingest_destination else None
        if configuration.classify_model:
            self._classify()
        if not configuration.is_local:  # the emulator keeps no metrics to watch
            self._observe()
        self.edge = self._watch_edge() if configuration.edge_sites and not configuration.is_local else None
        self._put_out()
        acknowledge(
            storage=self.storage,
            gateway=self.gateway,
            webhook_secret=self.webhook_secret,
            delayed=self.delayed,
            functions=self.functions,
            model_objects=model_objects(configuration.classify_model),
            inbox=self.ingest.inbox if self.ingest else None,
            edge=self.edge,
        )

    # What there is.

    def _make_queues(self) -> dict[str, WorkQueue]:
        tuning = self._tuning
        wanted = {
            "Render": (tuning.worker_timeout_s, tuning.receives),
            "Callback": (tuning.callback_timeout_s, tuning.receives),
        }
        if self._configuration.create_log_url:
            wanted["Report"] = (tuning.report_timeout_s, tuning.report_attempts)
        return {
            name: WorkQueue(self, f"{name}Queue", function_timeout_s=timeout_s, max_receives=receives)
            for name, (timeout_s, receives) in wanted.items()
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

    def _classify(self) -> None:
        """What asks a model of the operator's own; it is watched and named with the rest."""
        configuration = self._configuration
        network = Network(configuration.vpc_id, configuration.subnet_ids, configuration.security_group_ids)
        classification = Classification(
            self,
            "Classification",
            configuration=configuration,
            storage=self.storage,
            layers=[
                self._layers.ponte,
                self._layers.runtime,
                self._layers.imaging,
                self._layers.classify,
            ],
            logs=self._make_logs("ClassifyLogs"),
            environment=self._common_environment("Classify"),
            tuning=self._tuning,
            network=network if configuration.vpc_id else None,
            queue=self.queues.get("Classify"),
            archives=self.ingest.inbox.archives if self.ingest else None,
        )
        self.functions["Classify"], self.queues["Classify"] = classification.function, classification.queue
        self.functions["Api"].function.add_environment(
            "CLASSIFY_QUEUE_URL", classification.queue.queue.queue_url
        )
        classification.queue.queue.grant_send_messages(self.functions["Api"].role)

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
                "CALLBACK_QUEUE_URL": self.queues["Callback"].queue.queue_url,
                "SECRETS_KEY_ID": self.storage.secrets_key.key_id,
                "BODY_KEY_ID": self.storage.body_key.key_id,
                "API_TOKENS_SECRET_ARN": configuration.api_tokens_secret_arn,
                # The PACS of a private network is reached by the worker alone.
                "CHECK_PACS": "false" if configuration.vpc_id else "true",
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
                "CLINIC_COLOUR": configuration.clinic_colour,
                "PUBLIC_URL": configuration.public_url,
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
                "CALLBACK_QUEUE_ARN": self.queues["Callback"].queue.queue_arn,
                "CALLBACK_DEAD_LETTER_ARN": self.queues["Callback"].dead_letters.queue_arn,
                "SCHEDULE_GROUP": self.delayed.group_name,
                "SCHEDULER_ROLE_ARN": self.delayed.role.role_arn,
                "SECRETS_KEY_ID": self.storage.secrets_key.key_id,
                "WEBHOOK_SECRET_ARN": self.webhook_secret.secret.secret_arn,
                "CALLBACK_ALLOW_ORIGINS": ",".join(self._configuration.callback_allow_origins),
                "RETRY_SCHEDULE_SECONDS": ",".join(map(str, tuning.callback_schedule_s)),
                "MAX_BEGINS": str(tuning.callback_begins),
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

    def _make_ingest(self) -> Ingest:
        """What brings archives in, beside what renders; it is watched and named with the rest."""
        ingest = Ingest(
            self,
            "ZipIngest",
            configuration=self._configuration,
            storage=self.storage,
            render_queue=self.queues["Render"],
            webhook_secret_arn=self.webhook_secret.secret.secret_arn,
            make_function=self._make_function,
            keep=self._keep,
        )
        self.queues |= ingest.queues
        self.functions |= ingest.functions
        return ingest

    def _make_function(
        self,
        construct_id: str,
        *,
        handler: str,
        timeout_s: int,
        memory_mb: int,
        environment: Mapping[str, str],
        imaging: bool = False,
        dicom_network: bool = False,
        ephemeral_storage_mb: int = 512,
        network: Network | None = None,
    ) -> PythonFunction:
        layers = [self._layers.ponte, self._layers.runtime]
        if imaging:
            layers += [self._layers.imaging, self._layers.fonts]
        if dicom_network:
            layers.append(self._layers.network)
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

    def _make_authorizer(self) -> Authorizer | None:
        """The gateway's own check of callers, where one is wanted."""
        configuration = self._configuration
        if configuration.api_authorizer == "iam":
            return HttpIamAuthorizer()
        if configuration.api_authorizer == "jwt":
            return HttpJwtAuthorizer(
                "Jwt", configuration.jwt_issuer, jwt_audience=list(configuration.jwt_audience)
            )
        return None

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

    def _watch_edge(self) -> Edge:
        return Edge(
            self,
            "Edge",
            name=f"{self.stack_name}-edge",
            sites=self._configuration.edge_sites,
            topic_arn=self._configuration.alarm_topic_arn,
            storage=self.storage,
            inbox=self.ingest.inbox if self.ingest else None,
        )

    # Who may do what.

    def _grant(self) -> None:
        self._grant_jobs()
        self._grant_pdfs()
        self._grant_secrets()
        self._grant_queues()

    def _grant_jobs(self) -> None:
        actions = {
            "Api": (
                "dynamodb:BatchGetItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
            ),
            "Worker": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
            "Callback": ("dynamodb:GetItem", "dynamodb:UpdateItem"),
            "Report": ("dynamodb:GetItem",),
        }
        for name, function in self.functions.items():
            allow(function, actions[name], self.storage.jobs.table_arn)
            self._allow_key(name, "dynamodb", READ_ACTIONS if name == "Report" else WRITE_ACTIONS)
        indexes = [f"{self.storage.jobs.table_arn}/index/{name}" for name in (BY_EXAM, BY_STATE)]
        allow(self.functions["Api"], ("dynamodb:Query",), *indexes)

    def _grant_pdfs(self) -> None:
        documents = self.storage.pdfs.arn_for_objects(f"{PDF_PREFIX}*")
        allow(self.functions["Worker"], ("s3:PutObject", "s3:AbortMultipartUpload"), documents)
        self._allow_key("Worker", "s3", ("kms:Decrypt", "kms:GenerateDataKey"))
        for name in ("Api", "Callback"):
            allow(self.functions[name], ("s3:GetObject",), documents)
            self._allow_key(name, "s3", ("kms:Decrypt",))

    def _grant_secrets(self) -> None:
        """The callers' secrets, only ever with the id of their job; and what the PACS wants from us."""
        key = self.storage.secrets_key.key_arn
        bound: Mapping[str, Mapping[str, object]] = {
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["job_id"]},
            "Null": {"kms:EncryptionContext:job_id": "false"},
        }
        allow(self.functions["Api"], ("kms:Encrypt",), key, conditions=bound)
        allow(self.functions["Callback"], ("kms:Decrypt",), key, conditions=bound)
        allow(self.functions["Api"], ("kms:GenerateMac",), self.storage.body_key.key_arn)
        configuration = self._configuration
        allow_secret(
            self.functions["Worker"], configuration.dicom_auth_secret_arn, configuration.dicom_auth_key_arn
        )
        allow_secret(
            self.functions["Api"], configuration.api_tokens_secret_arn, configuration.api_tokens_key_arn
        )
        allow_secret(
            self.functions["Callback"], self.webhook_secret.secret.secret_arn, self.storage.data_key.key_arn
        )

    def _grant_queues(self) -> None:
        self.queues["Render"].queue.grant_send_messages(self.functions["Api"].role)
        self.queues["Callback"].queue.grant_send_messages(self.functions["Api"].role)
        self.queues["Callback"].queue.grant_send_messages(self.functions["Worker"].role)
        # An attempt that failed queues the next.
        self.queues["Callback"].queue.grant_send_messages(self.functions["Callback"].role)
        self.delayed.grant_schedule(self.functions["Callback"].role)
        if report := self.queues.get("Report"):
            for name in ("Api", "Worker", "Callback"):
                report.queue.grant_send_messages(self.functions[name].role)

    def _allow_key(self, name: str, service: str, actions: tuple[str, ...]) -> None:
        """The data key, through the service that keeps the data and in no other way."""
        allow_key(self.functions[name], self.storage.data_key.key_arn, service, actions)

    # What it is called.

    def _put_out(self) -> None:
        outputs = {
            "ApiUrl": self.gateway.api.api_endpoint,
            "ApiId": self.gateway.api.api_id,
            "JobsTable": self.storage.jobs.table_name,
            "PdfBucket": self.storage.pdfs.bucket_name,
            "SecretsKeyId": self.storage.secrets_key.key_id,
            "WebhookSecretArn": self.webhook_secret.secret.secret_arn,
            "ScheduleGroup": self.delayed.group_name,
            **(self.ingest.outputs if self.ingest else {}),
            **({"EdgePolicyArn": self.edge.policy.managed_policy_arn} if self.edge else {}),
        }
        for name, queue in self.queues.items():
            outputs[f"{name}QueueUrl"] = queue.queue.queue_url
            outputs[f"{name}DeadLetterUrl"] = queue.dead_letters.queue_url
        for name, function in self.functions.items():
            outputs[f"{name}Function"] = function.function.function_name
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
