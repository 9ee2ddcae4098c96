"""Opens one instance in a process of its own, and says what became of it and how much memory that took."""

from __future__ import annotations

import json
import logging
import resource
import sys
from io import StringIO
from pathlib import Path
from time import perf_counter

from ponte.errors import PonteError
from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode, make_ct


def main(path: str) -> None:
    heard = StringIO()
    logging.basicConfig(level=logging.DEBUG, stream=heard)
    Image(open_instance(encode(make_ct()))).picture(0)
    data = Path(path).read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = perf_counter()
    code, detail = "", ""
    try:
        Image(open_instance(data)).picture(0)
    except PonteError as error:
        code, detail = error.code, error.detail
    seconds = perf_counter() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    said = {"code": code, "detail": detail, "seconds": seconds, "grown_kb": grown, "log": heard.getvalue()}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
