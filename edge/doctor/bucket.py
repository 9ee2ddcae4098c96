"""A bucket that takes studies: credentials, whether it is there, and whether it may be written to.

Nothing is left behind: an upload in parts is begun and aborted, which makes no object. The rights that are
tried are those that forwarding needs, and no other.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from doctor.certificates import look_at_tls
from doctor.reach import Reach
from doctor.steps import Check, Found, State
from doctor.web import compared, read_date
from doctor.words import Phrase
from router.destinations import Inbox

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_KEY: Final = "ponte-doctor-test"
_LIMIT_S: Final = 25.0
_NO_BUCKET: Final = ("NoSuchBucket", "404", "NotFound")
_WRONG_KEY: Final = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


class Bucket:
    """What its checks find out of one another."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._client: S3Client | None = None
        address = urlsplit(self.endpoint)
        self._is_tls = address.scheme == "https"
        self._host = address.hostname or ""
        self._port = address.port or (443 if self._is_tls else 80)
        self._reach = Reach(self._host, self._port)
        self._date: float | None = None
        self._apart_s = 0.0

    @property
    def endpoint(self) -> str:
        """Where it is asked: as configured, else S3's own of the region."""
        region = self._inbox.region
        usual = f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com"
        return self._inbox.endpoint_url or usual

    def checks(self) -> tuple[Check, ...]:
        """In their order."""
        tls = (Check("tls", self.tls, ("tcp",)),) if self._is_tls else ()
        return (
            *self._reach.checks(),
            *tls,
            Check("credentials", self.credentials, limit_s=_LIMIT_S),
            Check("bucket", self.bucket, ("tcp", "credentials"), _LIMIT_S),
            Check("clock", self.clock, ("bucket",)),
            Check("put", self.put, ("bucket",), _LIMIT_S),
        )

    def tls(self) -> Found:
        """The handshake, against the certificates of this machine."""
        return look_at_tls(self._host, self._reach.address, self._port, ssl.create_default_context())

    def credentials(self) -> Found:
        """Whether there are any, and from where; never what they are."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session(region_name=self._inbox.region)
            found = session.get_credentials()
            self._client = session.client(
                "s3",
                endpoint_url=self._inbox.endpoint_url,
                config=Config(connect_timeout=5, read_timeout=8, retries={"total_max_attempts": 1}),
            )
        except (BotoCoreError, ValueError) as error:
            values = {"kind": type(error).__name__}
            return Found(
                "failed", (Phrase("credentials.unusable", values),), (Phrase("credentials.none_advice"),)
            )
        if found is None:
            return Found("failed", (Phrase("credentials.none"),), (Phrase("credentials.none_advice"),))
        return Found("ok", (Phrase("credentials.found", {"method": found.method or "?"}),))

    def bucket(self) -> Found:
        """The list of uploads that are under way, which forwarding may read."""
        return self._asked("bucket", self._list_uploads)

    def clock(self) -> Found:
        """S3 refuses who is a quarter of an hour apart."""
        return compared(self._date, self._apart_s)

    def put(self) -> Found:
        """An upload in parts, begun and aborted."""
        begun: list[str] = []
        found = self._asked("put", lambda: begun.append(self._begin()))
        if not begun:
            return found
        return self._asked("begun", lambda: self._abort(begun[0]))

    def _asked(self, step: str, request: Any) -> Found:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            request()
        except ClientError as error:
            self._note_date(error.response)
            return self._denied(step, error.response)
        except BotoCoreError as error:
            values = {"kind": type(error).__name__}
            return Found(
                "failed", (Phrase("bucket.not_reached", values),), (Phrase("bucket.not_reached_advice"),)
            )
        key = "bucket.allowed" if step == "bucket" else "put.allowed"
        return Found("ok", (Phrase(key, {"bucket": self._inbox.bucket}),))

    def _list_uploads(self) -> None:
        assert self._client is not None  # noqa: S101  (it needs the credentials)
        answer: Any = self._client.list_multipart_uploads(
            Bucket=self._inbox.bucket, Prefix=self._inbox.prefix, MaxUploads=1
        )
        self._note_date(answer)

    def _begin(self) -> str:
        assert self._client is not None  # noqa: S101  (it needs the credentials)
        bucket, key = self._inbox.bucket, self._inbox.prefix + _KEY
        return self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def _abort(self, upload_id: str) -> None:
        assert self._client is not None  # noqa: S101  (it needs the credentials)
        bucket, key = self._inbox.bucket, self._inbox.prefix + _KEY
        self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)

    def _denied(self, step: str, answer: Any) -> Found:
        code = str(answer.get("Error", {}).get("Code", ""))[:40]
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if step == "begun":
            why = "put.begun"
        elif code in _NO_BUCKET:
            why = "bucket.none"
        elif code in _WRONG_KEY:
            why = "credentials.wrong"
        elif code == "RequestTimeTooSkewed":
            why = "clock.skewed"
        elif status in (301, 307, 400):
            why = "bucket.elsewhere"
        elif status in (401, 403):
            why = f"{step}.denied"
        else:
            why = "bucket.odd"
        values = {"bucket": self._inbox.bucket, "status": f"{status} {code}".strip()}
        state: State = "warning" if step == "begun" else "failed"
        return Found(state, (Phrase(why, values),), (Phrase(f"{why}_advice", values),))

    def _note_date(self, answer: Any) -> None:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self._date = read_date(headers.get("date"))
        self._apart_s = time.time() - self._date if self._date is not None else 0.0
