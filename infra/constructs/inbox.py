"""Where archives come in and their reports lie, and the tables that say how far each is."""

from __future__ import annotations

from typing import Final, cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.queue import WorkQueue
from infra.constructs.storage import Storage

OWN_PREFIXES: Final = ("parts/", "quarantine/", "reports/")
_SUFFIXES: Final = (".zip", ".ZIP")
_PART_DAYS: Final = 90
_OLD_VERSION_DAYS: Final = 30


class Inbox(Construct):
    """A bucket, `versioned` or not, that tells `queue` of each archive, the archives table, and the ledger.

    Originals, reports and what is in quarantine stay until somebody removes them: they may be the only copy.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: Storage,
        queue: WorkQueue,
        keep: bool,
        versioned: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self._removal = RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY
        self._keep = keep
        self._storage = storage
        self.archives = self._table("Archives", "archive_id", time_to_live="expires_at")
        self.ledger = self._table("Ledger", "key", time_to_live=None)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            bucket_key_enabled=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=storage.data_key,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=versioned,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    noncurrent_version_expiration=Duration.days(_OLD_VERSION_DAYS),
                    expired_object_delete_marker=True,
                ),
                s3.LifecycleRule(prefix="parts/", expiration=Duration.days(_PART_DAYS)),
                # What is purged from the quarantine is purged.
                s3.LifecycleRule(prefix="quarantine/", noncurrent_version_expiration=Duration.days(1)),
            ],
            server_access_logs_bucket=storage.access_logs,
            server_access_logs_prefix="inbox/",
            removal_policy=self._removal,
        )
        self._tell(queue)

    def _table(self, construct_id: str, key: str, *, time_to_live: str | None) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            construct_id,
            partition_key=dynamodb.Attribute(name=key, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=time_to_live,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._storage.data_key,
            deletion_protection=self._keep,
            removal_policy=self._removal,
        )

    def _tell(self, queue: WorkQueue) -> None:
        """Written into the bucket itself: CDK's own way would add a function that may change any bucket.

        The queue cannot name the bucket, which cannot be made before the queue lets it send; it names the
        account, and the function takes events of this bucket alone.
        """
        allowed = queue.queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        bucket = cast("s3.CfnBucket", self.bucket.node.default_child)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue.queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="suffix", value=suffix)]
                        )
                    ),
                )
                for suffix in _SUFFIXES
            ]
        )
        if allowed.policy_dependable is not None:
            bucket.node.add_dependency(allowed.policy_dependable)
