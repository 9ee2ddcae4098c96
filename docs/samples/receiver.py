"""A receiver of Ponte's callbacks, with nothing but Python's standard library.

Run it: `WEBHOOK_SECRET=whsec_... python3 receiver.py 8080 received`. Behind a proxy that speaks TLS, it is
one that Ponte will call. Each PDF is written to the folder once, however often its callback comes.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import sys
import time

TOLERANCE_S = 300  # older callbacks may be somebody's recording
LARGEST_BYTES = 1 << 30


def verify(secret, headers, body):
    """Raise ValueError unless one of the signatures is that of our secret, and fresh."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        raise ValueError("the time of the signature is not ours")
    signed = b"%s.%s." % (message_id.encode(), timestamp.encode()) + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    if not any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split()):
        raise ValueError("the signature is not ours")


def take(folder, message_id, callback):
    """Do what there is to do with a callback, once: its id stays the same when it is sent again."""
    name = hashlib.sha256(message_id.encode()).hexdigest()
    done = folder / f"{name}.json"
    if done.exists():
        return
    if callback["ImagensPDF"] is not None:
        (folder / f"{name}.pdf").write_bytes(base64.b64decode(callback.pop("ImagensPDF")))
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(callback))
    partial.rename(done)  # from here on it is done: what was cut before is done again


class Receiver(http.server.BaseHTTPRequestHandler):
    secret: str
    folder: pathlib.Path

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BYTES:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            verify(self.secret, self.headers, body)
        except (ValueError, TypeError, AttributeError):
            return self.answer(401)
        take(self.folder, self.headers["webhook-id"], json.loads(body))
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main(port, folder):
    Receiver.secret, Receiver.folder = os.environ["WEBHOOK_SECRET"], pathlib.Path(folder)
    Receiver.folder.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
