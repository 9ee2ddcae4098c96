"""An archive in a bucket becomes instances in the PACS: what there is for that, and who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from constructs import Construct

from infra.configuration import Configuration
from infra.constructs.function import Network, PythonFunction
from infra.constructs.inbox import OWN_PREFIXES, Inbox
from infra.constructs.queue import WorkQueue
from infra.constructs.storage import Storage
from infra.stacks.access import READ_ACTIONS, WRITE_ACTIONS, allow, allow_key, allow_secret
from infra.stacks.tuning import Tuning


class MakeFunction(Protocol):
    """How the stack makes a function."""

    def __call__(
        self,
        construct_id: str,
        *,
        handler: str,
        timeout_s: int,
        memory_mb: int,
        environment: Mapping[str, str],
        dicom_network: bool = ...,
        ephemeral_storage_mb: int = ...,
        network: Network | None = ...,
    ) -> PythonFunction: ...


class Ingest(Construct):
    """Inbox, queues and functions of ZIP ingest; a classifier's queue and a webhook where they are wanted."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        configuration: Configuration,
        storage: Storage,
        render_queue: WorkQueue,
        webhook_secret_arn: str,
        make_function: MakeFunction,
        keep: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self._configuration = configuration
        self._tuning = Tuning.of(configuration.stage)
        self._storage = storage
        self._render_queue = render_queue
        self._webhook_secret_arn = webhook_secret_arn
        self.queues = self._make_queues()
        self.inbox = Inbox(
            self,
            "Inbox",
            storage=storage,
            queue=self.queues["Ingest"],
            keep=keep,
            # The emulator gives a whole version where a range of it is asked for; there the ETag pins it.
            versioned=not configuration.is_local,
        )
        self.functions = {"Ingest": self._make_ingest(make_function)}
        if "IngestWebhook" in self.queues:
            self.functions["IngestWebhook"] = self._make_webhook(make_function)
        self._connect()
        self._grant()

    @property
    def outputs(self) -> dict[str, str]:
        """Names that others read."""
        return {
            "InboxBucket": self.inbox.bucket.bucket_name,
            "ArchivesTable": self.inbox.archives.table_name,
            "LedgerTable": self.inbox.ledger.table_name,
        }

    # What there is.

    def _make_queues(self) -> dict[str, WorkQueue]:
        tuning, configuration = self._tuning, self._configuration
        wanted = {"Ingest": tuning.ingest_timeout_s}
        if configuration.ingest_webhook_url:
            wanted["IngestWebhook"] = tuning.report_timeout_s
        if configuration.classify:
            wanted["Classify"] = tuning.ingest_timeout_s
        return {
            name: WorkQueue(self, f"{name}Queue", function_timeout_s=timeout_s, max_receives=tuning.receives)
            for name, timeout_s in wanted.items()
        }

    def _make_ingest(self, make_function: MakeFunction) -> PythonFunction:
        configuration, tuning = self._configuration, self._tuning
        network = Network(configuration.vpc_id, configuration.subnet_ids, configuration.security_group_ids)
        return make_function(
            "Ingest",
            handler="zip_ingest.handler.handler",
            timeout_s=tuning.ingest_timeout_s,
            memory_mb=configuration.ingest_memory_mb,
            ephemeral_storage_mb=tuning.ingest_storage_mb,
            dicom_network=True,
            network=network if configuration.vpc_id else None,
            environment={
                "ARCHIVES_TABLE": self.inbox.archives.table_name,
                "LEDGER_TABLE": self.inbox.ledger.table_name,
                "INBOX_BUCKET": self.inbox.bucket.bucket_name,
                "INGEST_QUEUE_URL": self.queues["Ingest"].queue.queue_url,
                "INGEST_DEAD_LETTER_URL": self.queues["Ingest"].dead_letters.queue_url,
                "INGEST_DESTINATION": configuration.ingest_destination,
                "INGEST_AUTH_SECRET_ARN": configuration.ingest_auth_secret_arn,
                "DEDUP_POLICY": configuration.dedup_policy.value,
                "REPORT_LANGUAGE": configuration.pdf_language,
                "LEASE_SECONDS": str(tuning.ingest_lease_s),
                "MAX_ATTEMPTS": str(tuning.ingest_attempts),
                "RETRY_BASE_SECONDS": str(tuning.retry_base_s),
                **self._optional_environment(),
            },
        )

    def _optional_environment(self) -> dict[str, str]:
        """Who else is told of an archive."""
        found = {
            f"{variable}_QUEUE_URL": self.queues[name].queue.queue_url
            for variable, name in (("WEBHOOK", "IngestWebhook"), ("CLASSIFY", "Classify"))
            if name in self.queues
        }
        if self._configuration.render_ingested:
            found |= {
                "RENDER_INGESTED": "true",
                "RENDER_QUEUE_URL": self._render_queue.queue.queue_url,
                "JOB_RETENTION_DAYS": str(self._tuning.retention_days),
            }
        return found

    def _make_webhook(self, make_function: MakeFunction) -> PythonFunction:
        return make_function(
            "IngestWebhook",
            handler="zip_ingest.webhook.handler",
            timeout_s=self._tuning.report_timeout_s,
            memory_mb=256,
            environment={
                "ARCHIVES_TABLE": self.inbox.archives.table_name,
                "WEBHOOK_QUEUE_URL": self.queues["IngestWebhook"].queue.queue_url,
                "INGEST_WEBHOOK_URL": self._configuration.ingest_webhook_url,
                "WEBHOOK_SECRET_ARN": self._webhook_secret_arn,
                "RETRY_BASE_SECONDS": str(self._tuning.retry_base_s),
            },
        )

    # Who is called with what.

    def _connect(self) -> None:
        configuration = self._configuration
        concurrency = 2 if configuration.is_local else configuration.ingest_concurrency
        self.functions["Ingest"].consume(self.queues["Ingest"].queue, max_concurrency=concurrency)
        if "IngestWebhook" in self.functions:
            self.functions["IngestWebhook"].consume(
                self.queues["IngestWebhook"].queue, max_concurrency=self._tuning.report_concurrency
            )

    # Who may do what.

    def _grant(self) -> None:
        ingest, configuration = self.functions["Ingest"], self._configuration
        self._grant_bucket(ingest)
        self._grant_tables(ingest)
        allow_secret(ingest, configuration.ingest_auth_secret_arn, configuration.ingest_auth_key_arn)
        # A run whose time is short queues the next; one that gives up says so among the dead letters.
        for queue in (self.queues["Ingest"].queue, self.queues["Ingest"].dead_letters):
            queue.grant_send_messages(ingest.role)
        for name in ("IngestWebhook", "Classify"):
            if name in self.queues:
                self.queues[name].queue.grant_send_messages(ingest.role)
        if configuration.render_ingested:
            self._render_queue.queue.grant_send_messages(ingest.role)
        if webhook := self.functions.get("IngestWebhook"):
            key = self._storage.data_key.key_arn
            allow(webhook, ("dynamodb:GetItem",), self.inbox.archives.table_arn)
            allow_key(webhook, key, "dynamodb", READ_ACTIONS)
            allow_secret(webhook, self._webhook_secret_arn, key)

    def _grant_bucket(self, ingest: PythonFunction) -> None:
        """It reads what lies in the inbox, and writes below its own prefixes alone; it deletes nothing."""
        bucket = self.inbox.bucket
        allow(ingest, ("s3:GetObject", "s3:GetObjectVersion"), bucket.arn_for_objects("*"))
        # Without it S3 answers 403 to who asks for an object that is not there.
        allow(ingest, ("s3:ListBucket",), bucket.bucket_arn)
        own = [bucket.arn_for_objects(f"{prefix}*") for prefix in OWN_PREFIXES]
        allow(ingest, ("s3:PutObject", "s3:AbortMultipartUpload"), *own)
        allow_key(ingest, self._storage.data_key.key_arn, "s3", ("kms:Decrypt", "kms:GenerateDataKey"))

    def _grant_tables(self, ingest: PythonFunction) -> None:
        inbox, storage = self.inbox, self._storage
        allow(
            ingest,
            ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
            inbox.archives.table_arn,
        )
        allow(ingest, ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"), inbox.ledger.table_arn)
        if self._configuration.render_ingested:
            allow(ingest, ("dynamodb:GetItem", "dynamodb:PutItem"), storage.jobs.table_arn)
        allow_key(ingest, storage.data_key.key_arn, "dynamodb", WRITE_ACTIONS)
