"""What asks a model of the operator's own about chest radiographs. Deployed only where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.configuration import Configuration
from infra.constructs.function import Network, PythonFunction
from infra.constructs.logs import EncryptedLogs
from infra.constructs.queue import WorkQueue
from infra.constructs.storage import Storage
from infra.stacks.access import WRITE_ACTIONS, allow, allow_key, allow_secret
from infra.stacks.tuning import Tuning

RESULT_PREFIX: Final = "classify/"
_MEMORY_MB: Final = 1769  # one whole core: the model runs on one


def model_objects(model: str) -> str:
    """All that lies beside the model: `arn:<AWS::Partition>:s3:::bucket/prefix/*`, as cdk-nag writes it."""
    return f"arn:<AWS::Partition>:s3:::{model.removeprefix('s3://')}/*"


class Classification(Construct):
    """Queue and function; results in the bucket of documents, below a prefix of their own.

    `queue` and `archives` are those of ZIP ingest, where that asks too.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        configuration: Configuration,
        storage: Storage,
        layers: Sequence[lambda_.ILayerVersion],
        logs: EncryptedLogs,
        environment: Mapping[str, str],
        tuning: Tuning,
        network: Network | None,
        queue: WorkQueue | None,
        archives: dynamodb.Table | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._configuration, self._storage, self._archives = configuration, storage, archives
        self.queue = queue or WorkQueue(
            self, "Queue", function_timeout_s=tuning.classify_timeout_s, max_receives=tuning.receives
        )
        self.function = PythonFunction(
            self,
            "Function",
            handler="classify.handler.handler",
            architecture=configuration.architecture,
            layers=layers,
            logs=logs,
            environment={**environment, **self._environment(tuning)},
            timeout_s=tuning.classify_timeout_s,
            memory_mb=_MEMORY_MB,
            network=network,
        )
        self.function.consume(self.queue.queue, max_concurrency=configuration.classify_concurrency)
        self.queue.queue.grant_send_messages(self.function.role)
        self._grant()

    def _environment(self, tuning: Tuning) -> dict[str, str]:
        configuration = self._configuration
        return {
            "CLASSIFY_MODEL": configuration.classify_model,
            "CLASSIFY_QUEUE_URL": self.queue.queue.queue_url,
            "ARCHIVES_TABLE": self._archives.table_name if self._archives else "",
            "RESULT_BUCKET": self._storage.pdfs.bucket_name,
            "DICOM_WADO_URL": configuration.dicom_wado_url,
            "DICOM_AUTH_SECRET_ARN": configuration.dicom_auth_secret_arn,
            "CLASSIFY_DESTINATION": configuration.classify_destination,
            "CLASSIFY_AUTH_SECRET_ARN": configuration.classify_auth_secret_arn,
            "SR_CLASS": configuration.classify_sr_class,
            "SALIENCY": str(configuration.classify_saliency).lower(),
            "ANY_BODY_PART": str(configuration.classify_any_body_part).lower(),
            "RETENTION_DAYS": str(tuning.retention_days),
            "RETRY_BASE_SECONDS": str(tuning.retry_base_s),
        }

    def _grant(self) -> None:
        """Its rows, its results, the model, and what the two servers want from us."""
        configuration, storage, function = self._configuration, self._storage, self.function
        key = storage.data_key.key_arn
        allow(function, ("dynamodb:GetItem", "dynamodb:PutItem"), storage.jobs.table_arn)
        if self._archives:
            allow(function, ("dynamodb:GetItem",), self._archives.table_arn)
        allow_key(function, key, "dynamodb", WRITE_ACTIONS)
        allow(function, ("s3:PutObject",), storage.pdfs.arn_for_objects(f"{RESULT_PREFIX}*"))
        allow_key(function, key, "s3", ("kms:Decrypt", "kms:GenerateDataKey"))
        model = configuration.classify_model.removeprefix("s3://")
        allow(function, ("s3:GetObject",), f"arn:{Stack.of(self).partition}:s3:::{model}/*")
        if configuration.classify_model_key_arn:
            allow_key(function, configuration.classify_model_key_arn, "s3", ("kms:Decrypt",))
        allow_secret(function, configuration.dicom_auth_secret_arn, configuration.dicom_auth_key_arn)
        allow_secret(function, configuration.classify_auth_secret_arn, configuration.classify_auth_key_arn)
