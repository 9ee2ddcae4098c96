"""What the commands reach of a deployed stack: its quarantine and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ponte.errors import InvalidRequest, SourceUnavailable

if TYPE_CHECKING:
    from ponte_aws.ledger import DynamoStore
    from ponte_aws.quarantine import S3Quarantine


@dataclass(frozen=True, slots=True)
class CloudNames:
    """Names of what a stack has. Without a ledger, only the bucket was named."""

    bucket: str
    ledger_table: str = ""

    @classmethod
    def of_stack(cls, stack: str) -> CloudNames:
        """From the outputs of a stack. Raises `InvalidRequest`, `SourceUnavailable`."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            raise InvalidRequest(f"{stack}: {error.response['Error']['Code']}") from error
        except BotoCoreError as error:
            raise SourceUnavailable(f"AWS cannot be asked: {type(error).__name__}") from error
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found[0].get("Outputs", ())}
        if "InboxBucket" not in outputs:
            raise InvalidRequest(f"{stack} takes no archives: INGEST_DESTINATION was not set")
        return cls(outputs["InboxBucket"], outputs["LedgerTable"])

    def quarantine(self) -> S3Quarantine:
        from ponte_aws import clients
        from ponte_aws.quarantine import S3Quarantine

        return S3Quarantine(clients.s3(), self.bucket)

    def store(self, destination: str) -> DynamoStore:
        """The ledger's rows of this destination, as `ponte_net.destinations.shown` names it."""
        from ponte_aws import clients
        from ponte_aws.ledger import DynamoStore

        return DynamoStore(clients.table(self.ledger_table), destination)
