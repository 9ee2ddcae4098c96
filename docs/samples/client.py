"""Ask Ponte for a study's PDF and follow the job, with nothing but Python's standard library.

Run it: `python3 client.py http://127.0.0.1:9000 1.2.840.113619.2.55.3 https://client.example/callback 12345`.
`PONTE_TOKEN` is sent where it is set.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

OVER = {"delivered", "failed", "expired", "cancelled"}
TRIES = 5


def call(method, url, body=None, headers=None):
    """One request; what may be lost on the way is asked again, with the same Idempotency-Key."""
    given = {"Content-Type": "application/json", **(headers or {})}
    if token := os.environ.get("PONTE_TOKEN"):
        given["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    for attempt in range(1, TRIES + 1):
        try:
            request = urllib.request.Request(url, data, given, method=method)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in {429, 500, 502, 503, 504} or attempt == TRIES:
                sys.exit(f"{error.code}: {error.read().decode(errors='replace')}")
        except OSError:
            if attempt == TRIES:
                raise
        time.sleep(2**attempt)
    return None


def main(api, study, callback, exam_id):
    body = {"examID": int(exam_id), "pacs_studies_iuid": study, "UrlCallback": callback}
    accepted = call("POST", f"{api}/render", body, {"Idempotency-Key": str(uuid.uuid4())})
    print("job", accepted["job_id"], flush=True)
    state = None
    while state not in OVER:
        time.sleep(0.5)
        job = call("GET", f"{api}/jobs/{accepted['job_id']}")
        if job["state"] != state:
            state = job["state"]
            print(state, flush=True)
    return 0 if state == "delivered" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
