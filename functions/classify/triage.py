"""One instance: let in or not, read, given to the model, and reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydicom.dataset import Dataset

from classify.findings import Finding, findings_of
from classify.gate import Gate
from classify.model import Answer, Model
from classify.pixels import read_radiograph
from classify.sr import NOTICE, VERSION, Reported, SrClass, make_report
from ponte import attributes
from ponte.destination import Outgoing
from ponte.encapsulated import StudyHeader
from ponte.errors import PonteError
from ponte.instance import open_instance
from ponte.quiet import BROKEN_INPUT, quiet
from ponte.uid import is_valid_uid

__all__ = ["NOTICE", "Options", "Result", "classify", "model_json"]

Verdict = Literal["classified", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Options:
    """`overlay` asks for the saliency picture, which needs a model that gives one."""

    gate: Gate = field(default_factory=Gate)
    sr_class: SrClass = "comprehensive3d"
    overlay: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one instance. `reason` is a code where it was not classified.

    `made` are the instances that were made of it: the report, and the picture where there is one.
    """

    verdict: Verdict
    sop_instance_uid: str = ""
    reason: str | None = None
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    made: tuple[Outgoing, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "detail": self.detail,
            "sop_instance_uid": self.sop_instance_uid,
            "findings": [finding.as_json() for finding in self.findings],
            "provenance": self.provenance,
        }


_DEFAULT: Final = Options()


def classify(data: bytes, model: Model, options: Options = _DEFAULT) -> Result:
    """Never raises for what is wrong with the instance; `ModelRefused` where the model answers nonsense."""
    uid = ""
    try:
        dataset = open_instance(data)
        uid = _uid(dataset)
        skip = options.gate.judge(dataset)
        if skip is not None:
            return Result("skipped", uid, skip.reason, skip.detail)
        radiograph = read_radiograph(dataset)
        image = radiograph.model_input(model.manifest.size)
    except (PonteError, *BROKEN_INPUT) as error:
        return _failed(uid, error)
    answer = model.run(image)
    findings = findings_of(answer.logits, model.manifest)
    try:
        reported = Reported(dataset, StudyHeader.read(data), findings, model.manifest)
        with quiet():
            made = _made(reported, answer, options)
    except (PonteError, *BROKEN_INPUT) as error:
        return _failed(uid, error)
    provenance = {"input": radiograph.reading.as_json(), **_said(dataset), "ponte": VERSION}
    return Result("classified", uid, None, "", findings, provenance, made)


def _failed(uid: str, error: Exception) -> Result:
    """What an image says of itself is no better than its pixels; no text of others is passed on."""
    if isinstance(error, PonteError):
        return Result("failed", uid, error.code, error.detail)
    return Result("failed", uid, "CANNOT_DECODE", f"It cannot be read or reported: {type(error).__name__}")


def _made(reported: Reported, answer: Answer, options: Options) -> tuple[Outgoing, ...]:
    """The report, and the saliency picture where it is wanted and there is one."""
    report = make_report(reported, options.sr_class)
    if not options.overlay or answer.cam is None:
        return (report,)
    from classify.overlay import make_overlay

    picture = make_overlay(reported, answer.cam)
    return (report,) if picture is None else (report, picture)


def model_json(model: Model) -> dict[str, Any]:
    """What a result says of its model, and of what it is not."""
    from onnxruntime import __version__ as onnxruntime_version

    return {**model.manifest.as_json(), "onnxruntime": onnxruntime_version, "notice": NOTICE}


def _uid(dataset: Dataset) -> str:
    with quiet():
        uid = attributes.text(dataset, "SOPInstanceUID")
    return uid if is_valid_uid(uid) else ""


def _said(dataset: Dataset) -> dict[str, Any]:
    """By what the image got in: nothing of the patient is among it."""
    with quiet():
        return {
            "modality": attributes.text(dataset, "Modality"),
            "body_part": attributes.text(dataset, "BodyPartExamined")[:16],
            "view": attributes.text(dataset, "ViewPosition")[:16],
            "study_instance_uid": attributes.text(dataset, "StudyInstanceUID"),
        }
