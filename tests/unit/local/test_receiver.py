from __future__ import annotations

from pathlib import Path

import pytest
import urllib3

from infra.local.errors import LocalStackError
from infra.local.receiver import Receiver


def test_a_receiver_keeps_headers_fields_and_the_pdf(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        body = {"examID": 1, "ImagensPDF": "JVBERg=="}
        answer = urllib3.request("POST", receiver.url("/a"), json=body, headers={"IntegrationToken": "t"})

        assert answer.status == 200
        callback = receiver.wait("/a", timeout_s=5)
        assert callback.fields == {"examID": 1}
        assert callback.headers["integrationtoken"] == "t"
        assert callback.pdf is not None
        assert callback.pdf.read_bytes() == b"%PDF"


def test_a_receiver_fails_as_often_as_it_is_told(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        receiver.fail_next(2, status=500)
        statuses = [urllib3.request("POST", receiver.url(), json={}, retries=False).status for _ in range(3)]

        assert statuses == [500, 500, 200]
        assert [callback.answered for callback in receiver.callbacks] == statuses
        assert len(receiver.accepted()) == 1


def test_a_receiver_refuses_what_is_no_callback(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        bodies = [b"", b"[]", b'{"ImagensPDF": 1}', b'{"ImagensPDF": "!"}']
        statuses = [
            urllib3.request("POST", receiver.url(), body=body, retries=False).status for body in bodies
        ]

        assert statuses == [400] * 4
        assert list(tmp_path.glob("*.json")) == []


def test_a_receiver_says_which_callback_never_came(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver, pytest.raises(LocalStackError, match="no callback at /x"):
        receiver.wait("/x", timeout_s=0.05)
