"""Renders a folder, or a study at an address, in a process of its own, and says what that took.

Pages, images shown, the reason code where there is no PDF, how much memory grew at its peak, and the log.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys
from pathlib import Path
from time import perf_counter

from ponte.dicomweb import DicomWebSource
from ponte.errors import PonteError
from ponte.folder import FolderSource
from render.options import RenderOptions
from render.study import render_study
from tests.factories import STUDY_UID, encode, make_ct
from tests.unit.render.studies import Instances


def main(place: str) -> None:
    heard = io.StringIO()
    logging.basicConfig(level=logging.DEBUG, stream=heard)
    render_study(Instances([encode(make_ct())]), STUDY_UID, io.BytesIO(), RenderOptions())
    source = DicomWebSource(place) if place.startswith("http") else FolderSource(Path(place))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = perf_counter()
    code, pages, shown, out = "", 0, 0, io.BytesIO()
    try:
        report = render_study(source, STUDY_UID, out, RenderOptions())
        pages, shown = report.pages, report.shown
    except PonteError as error:
        code = error.code
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answer = {"pages": pages, "shown": shown, "code": code, "grown_kb": grown, "log": heard.getvalue()}
    sys.stdout.write(json.dumps({**answer, "seconds": perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1])
