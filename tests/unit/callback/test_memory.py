"""A PDF of 300 MB is delivered within 256 MB: measured on a process that does nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from callback.body import CHUNK_BYTES
from tests.corpus import ROOT

PDF_BYTES = 300 * 1024 * 1024
LIMIT_BYTES = 256 * 1024 * 1024
PIECE = hashlib.sha256(b"ponte").digest() * (CHUNK_BYTES // 32)
KEY = bytes(range(32))

CHILD = """
import json, sys, time
from callback.handler import deliver
from callback.settings import CallbackSettings
from ponte_aws import rotating
from ponte_aws.jobs import Job, Pdf, RenderRequest, State
given = json.loads(sys.argv[1])
rotating._kept["arn"] = (time.monotonic() + 3600, {"first": given["secret"]})
job = Job(
    job_id="the-job", state=State.DELIVERING, request=RenderRequest(7, "1.2.3", url_callback=given["url"]),
    created_at="", updated_at="", expires_at=0, pdf=Pdf("pdf/x.pdf", given["bytes"], given["sha256"], 1),
)
settings = CallbackSettings(
    stage="local", jobs_table="t", pdf_bucket="pdfs", callback_queue_url="q", callback_queue_arn="q",
    callback_dead_letter_arn="d", schedule_group="g", scheduler_role_arn="r", secrets_key_id="k",
    webhook_secret_arn="arn", callback_allow_origins=given["url"],
)
outcome = deliver(job, settings)
# Not getrusage: that begins with the memory of the process that started this one.
lines = open("/proc/self/status").read().splitlines()
(peak,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
said = {"status": outcome.status, "detail": outcome.detail, "sent": outcome.sent_bytes, "peak": peak}
print(json.dumps(said))
"""


def document() -> Iterator[bytes]:
    left = PDF_BYTES
    while left:
        piece = PIECE[:left]
        left -= len(piece)
        yield piece


class Both(BaseHTTPRequestHandler):
    """S3 to the one that reads, the receiver to the one that posts. Neither keeps what passes."""

    protocol_version = "HTTP/1.1"
    taken: dict[str, str]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("ETag", '"the-object"')
        self.send_header("Content-Length", str(PDF_BYTES))
        self.end_headers()
        for piece in document():
            self.wfile.write(piece)

    def do_POST(self) -> None:
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        body, mac = hashlib.sha256(), hmac.new(KEY, head.encode(), hashlib.sha256)
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            left -= len(piece)
            body.update(piece)
            mac.update(piece)
        self.taken["body"] = body.hexdigest()
        self.taken["expected"] = "v1," + base64.b64encode(mac.digest()).decode()
        self.taken["signature"] = self.headers["webhook-signature"]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Say nothing."""


def expected_body() -> str:
    fields = {
        "examID": 7, "studyIUID": "1.2.3", "ImagensPDF": "@", "CodAutorizacao": None, "CodFaturamento": None,
        "CodProcedimento": None,
    }  # fmt: skip
    head, tail = json.dumps(fields).split("@")
    digest = hashlib.sha256(head.encode())
    for piece in document():
        digest.update(base64.b64encode(piece))
    digest.update(tail.encode())
    return digest.hexdigest()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: it reads the peak in /proc")
def test_a_pdf_of_300_mb_is_signed_and_delivered_within_256_mb() -> None:
    sha256 = hashlib.sha256()
    for piece in document():
        sha256.update(piece)
    taken: dict[str, str] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Both,), {"taken": taken}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        given = {
            "url": url, "bytes": PDF_BYTES, "sha256": sha256.hexdigest(),
            "secret": base64.b64encode(KEY).decode(),
        }  # fmt: skip
        paths = [ROOT, ROOT / "functions", ROOT / "layers/ponte/python"]
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "*",
        }  # fmt: skip
        command = [sys.executable, "-c", CHILD, json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    finally:
        server.shutdown()
        server.server_close()
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["status"], report["detail"]) == (200, "")
    assert report["sent"] > PDF_BYTES * 4 / 3
    assert taken["body"] == expected_body()
    assert taken["signature"] == taken["expected"]
    assert report["peak"] < LIMIT_BYTES, f"{report['peak'] / 1e6:.0f} MB"
    print(f"peak {report['peak'] / 1e6:.0f} MB")
