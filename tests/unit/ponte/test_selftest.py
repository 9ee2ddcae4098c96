"""The self-test must fail where a decoder is missing or wrong, or it is worth nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pydicom import uid

from ponte import codecs, selftest, syntaxes
from ponte.description import PixelDescription
from ponte.native import Frame
from ponte.selftest import check_decoders


def result_of(syntax: str) -> selftest.DecoderResult:
    return next(result for result in check_decoders() if result.transfer_syntax_uid == syntax)


def test_every_decoder_is_there_and_right() -> None:
    assert [result for result in check_decoders() if result.status != "ok"] == []


def test_every_syntax_that_can_be_shown_is_checked() -> None:
    checked = {result.transfer_syntax_uid for result in check_decoders()}
    # The two retired progressive processes share the decoder of the extended one
    progressive = {syntaxes.JPEG_SPECTRAL_SELECTION, syntaxes.JPEG_FULL_PROGRESSION}
    assert set(codecs.DECODERS) - progressive <= checked
    native = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian}
    assert native | {uid.DeflatedExplicitVRLittleEndian} <= checked


def test_a_decoder_that_answers_black_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        codecs.DECODERS, uid.JPEGLosslessSV1, lambda data, d, _: Frame(np.zeros((48, 64), np.uint16), "")
    )
    result = result_of(uid.JPEGLosslessSV1)
    assert result.status == "wrong"
    assert "off by" in result.detail


def test_a_decoder_that_fails_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes, d: PixelDescription, halvings: int) -> Frame:
        raise RuntimeError("no")

    monkeypatch.setitem(codecs.DECODERS, uid.JPEGLSLossless, fail)
    assert result_of(uid.JPEGLSLossless).status == "wrong"


def test_a_decoder_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(codecs.DECODERS, uid.JPEG2000Lossless)
    result = result_of(uid.JPEG2000Lossless)
    assert (result.status, result.decoder) == ("missing", "")


def test_without_imagecodecs_its_syntaxes_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert result_of(uid.JPEGLosslessSV1).status == "missing"
    assert result_of(syntaxes.DEFLATED_FRAMES).status == "ok"
