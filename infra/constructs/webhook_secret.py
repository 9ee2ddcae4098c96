"""The secret that callbacks are signed with."""

from __future__ import annotations

import string
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

_LENGTH: Final = 64  # letters and digits: base64 of 48 bytes


class WebhookSecret(Construct):
    """`{"first": "..."}`, made by AWS; the operator adds a second value to rotate (docs/deploy.md)."""

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey, keep: bool) -> None:
        super().__init__(scope, construct_id)
        self.secret = secretsmanager.Secret(
            self,
            "Secret",
            description="Signs the callbacks of Ponte: names and values, several of which may be in use",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106  an object, into which AWS puts the secret
                generate_string_key="first",
                password_length=_LENGTH,
                exclude_characters=string.punctuation,
                exclude_punctuation=True,
            ),
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
        )
