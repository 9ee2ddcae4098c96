"""The custody receipt of a study, signed: as JSON and as PDF, without the patient's name."""

from __future__ import annotations

import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from custody.paper import receipt_pdf
from dashboard.actions import note
from dashboard.audit import study_key
from ponte.errors import StudyNotFound
from render.version import PRODUCT
from router.receipt import Maker, signed
from router.receipt import receipt as make
from router.receipt_keys import ensure_key

_MEDIA_TYPES: Final = {"json": "application/json", "pdf": "application/pdf"}


def receipt(request: Request) -> Response:
    """Made when it is asked for, of what the rows say now."""
    uid, kind = request.path_params["uid"], request.path_params["kind"]
    config = request.app.state.config.router
    if kind not in _MEDIA_TYPES:
        raise HTTPException(404)
    key = ensure_key(config.dicom_root)
    with request.app.state.views() as views:
        try:
            found = make(views, uid, Maker(PRODUCT, config.ae_title, key.public.id), at=time.time())
        except StudyNotFound as error:
            raise HTTPException(404) from error
    if kind == "pdf":
        content = receipt_pdf(found, key, language=request.state.language, zone=request.app.state.zone)
    else:
        content = signed(found, key)
    note(request, "receipt", study_key(uid), "done")
    headers = {"Content-Disposition": f'attachment; filename="receipt-{study_key(uid)[:12]}.{kind}"'}
    return Response(content, media_type=_MEDIA_TYPES[kind], headers=headers)


routes: Final = [Route("/studies/{uid}/receipt.{kind}", receipt, methods=["GET"])]
