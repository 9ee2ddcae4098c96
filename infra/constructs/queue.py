"""A queue, the queue of what could not be done, and how the one hands over to the other."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_VISIBILITY_FACTOR: Final = 6  # of the function's timeout: what Lambda asks of a queue that it polls
_LONGEST_RETENTION: Final = 14


class WorkQueue(Construct):
    """Messages wait here; those received too often end in `dead_letters` and stay there for 14 days.

    A handler that fails shortens the visibility of its message itself, so the long time-out is only what
    happens when a function dies.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, function_timeout_s: int, max_receives: int
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(_LONGEST_RETENTION),
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(_LONGEST_RETENTION),
            visibility_timeout=Duration.seconds(_VISIBILITY_FACTOR * function_timeout_s),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=max_receives),
        )
