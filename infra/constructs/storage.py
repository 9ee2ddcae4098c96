"""Where jobs and documents are kept, and the keys that encrypt them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from ponte_aws.listing import BY_EXAM, BY_STATE

PDF_PREFIX: Final = "pdf/"
_ACCESS_LOG_DAYS: Final = 365


class Storage(Construct):
    """Jobs table, PDF bucket, and three keys: for data at rest, for the callers' secrets, for digests.

    With `keep`, deleting the stack leaves table, documents and keys in place.
    """

    def __init__(self, scope: Construct, construct_id: str, *, retention_days: int, keep: bool) -> None:
        super().__init__(scope, construct_id)
        self._removal = RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY
        self.data_key = self._key("DataKey", "PDFs, job rows and logs of Ponte")
        self.secrets_key = self._key("SecretsKey", "callers' secrets of Ponte, bound to their job")
        self.body_key = kms.Key(
            self,
            "BodyKey",
            description="knows a request's body again, without keeping it",
            key_spec=kms.KeySpec.HMAC_256,
            key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC,
            removal_policy=self._removal,
        )
        self._allow_logs()
        self.jobs = dynamodb.Table(
            self,
            "Jobs",
            partition_key=dynamodb.Attribute(name="job_id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.data_key,
            deletion_protection=keep,
            removal_policy=self._removal,
        )
        self._index(BY_EXAM, dynamodb.Attribute(name="exam_id", type=dynamodb.AttributeType.NUMBER))
        self._index(BY_STATE, dynamodb.Attribute(name="state", type=dynamodb.AttributeType.STRING))
        self.access_logs = s3.Bucket(
            self,
            "AccessLogs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery cannot write under a key of ours
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(_ACCESS_LOG_DAYS))],
            removal_policy=self._removal,
        )
        self.pdfs = s3.Bucket(
            self,
            "Pdfs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            bucket_key_enabled=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.data_key,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                    expiration=Duration.days(retention_days),
                )
            ],
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix="pdfs/",
            removal_policy=self._removal,
        )

    def _key(self, construct_id: str, description: str) -> kms.Key:
        return kms.Key(
            self,
            construct_id,
            description=description,
            enable_key_rotation=True,
            removal_policy=self._removal,
        )

    def _index(self, name: str, key: dynamodb.Attribute) -> None:
        """Jobs by an attribute, in the order of time; keys alone, so that nothing is kept a second time."""
        self.jobs.add_global_secondary_index(
            index_name=name,
            partition_key=key,
            sort_key=dynamodb.Attribute(name="created_at", type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )

    def _allow_logs(self) -> None:
        """Let CloudWatch Logs encrypt this account's log groups with the data key, and nothing else."""
        stack = Stack.of(self)
        groups = f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:*"
        self.data_key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )
