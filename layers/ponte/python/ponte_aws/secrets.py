"""The caller's secrets, encrypted by KMS with the job id as context: useless on any other row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

MAX_SECRET_BYTES = 4096  # what KMS encrypts directly


def seal(kms: KMSClient, key_id: str, job_id: str, secrets: Mapping[str, str | None]) -> dict[str, bytes]:
    """Encrypt each secret that is there, and not empty. Raises botocore's errors: never one in clear."""
    return {
        name: kms.encrypt(KeyId=key_id, Plaintext=value.encode(), EncryptionContext={"job_id": job_id})[
            "CiphertextBlob"
        ]
        for name, value in secrets.items()
        if value
    }


def unseal(kms: KMSClient, key_id: str, job_id: str, sealed: Mapping[str, bytes]) -> dict[str, str]:
    """Decrypt what `seal` encrypted for this very job."""
    return {
        name: kms.decrypt(KeyId=key_id, CiphertextBlob=value, EncryptionContext={"job_id": job_id})[
            "Plaintext"
        ].decode()
        for name, value in sealed.items()
    }


def body_mac(kms: KMSClient, key_id: str, body: bytes) -> str:
    """A digest by which a body is known again, and which says nothing of the secrets in it without KMS."""
    message = hashlib.sha256(body).digest()
    mac = kms.generate_mac(KeyId=key_id, Message=message, MacAlgorithm="HMAC_SHA_256")["Mac"]
    return mac.hex()
