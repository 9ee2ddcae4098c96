"""What the model's numbers are called, and what they are not: nobody has verified any of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

from classify.manifest import Manifest

SCHEME: Final = "99PONTE"
SCHEME_UID: Final = "2.25.218197024550130981074625730787139054997"
SCHEME_NAME: Final = "Ponte"

_DIGITS = 6


def _local(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


CODES: Final = {
    "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
    "Consolidation": Code("95436008", "SCT", "Consolidation of lung"),
    "Infiltration": Code("112121", "DCM", "Infiltrate"),
    "Pneumothorax": Code("36118008", "SCT", "Pneumothorax"),
    "Edema": Code("19242006", "SCT", "Pulmonary edema"),
    "Emphysema": Code("87433001", "SCT", "Pulmonary emphysema"),
    "Fibrosis": Code("51615001", "SCT", "Fibrosis of lung"),
    "Effusion": Code("60046008", "SCT", "Pleural effusion"),
    "Pneumonia": Code("233604007", "SCT", "Pneumonia"),
    "Pleural_Thickening": Code("C0264545", "UMLS", "Pleural thickening"),
    "Cardiomegaly": Code("8186001", "SCT", "Cardiomegaly"),
    "Nodule": Code("27925004", "SCT", "Nodule"),
    "Mass": Code("4147007", "SCT", "Mass"),
    "Hernia": _local("hernia", "Hernia"),
    "Lung Lesion": _local("lung-lesion", "Lung lesion"),
    "Fracture": Code("125605004", "SCT", "Fracture of bone"),
    "Lung Opacity": Code("112001", "DCM", "Opacity"),
    "Enlarged Cardiomediastinum": _local("enl-cardiomed", "Enlarged cardiomediastinum"),
}
"""The labels of `densenet121-res224-all`. Where no code could be verified there is one of our own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One label of the model.

    `probability` is the sigmoid of its output, which nobody has calibrated; `score` is that on the scale of
    TorchXRayVision's `op_norm`, where 0.5 stands for `threshold`: no probability either. None where the model
    gives no threshold.
    """

    label: str
    probability: float
    score: float | None
    threshold: float | None

    @property
    def at_threshold(self) -> bool:
        """At or above the threshold. Nothing is said of what is below: that is not absence."""
        return self.threshold is not None and self.probability >= self.threshold

    @property
    def code(self) -> Code:
        if self.label in CODES:
            return CODES[self.label]
        digest = hashlib.sha256(self.label.encode()).hexdigest()
        return _local(f"label-{digest[:8]}", self.label)

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "probability": round(self.probability, _DIGITS),
            "score": None if self.score is None else round(self.score, _DIGITS),
            "threshold": self.threshold,
        }


def findings_of(logits: npt.NDArray[np.float32], manifest: Manifest) -> tuple[Finding, ...]:
    """One for each target that has a name, in the order of the model."""
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return tuple(
        Finding(label, float(p), None if t is None else score_of(float(p), t), t)
        for label, p, t in zip(manifest.targets, probabilities, manifest.thresholds, strict=True)
        if label
    )


def score_of(probability: float, threshold: float) -> float:
    """TorchXRayVision's `op_norm`: 0 to the threshold becomes 0 to 0.5, from there to 1 becomes 0.5 to 1."""
    if probability < threshold:
        return probability / (2 * threshold)
    return 1 - (1 - probability) / (2 * (1 - threshold))
