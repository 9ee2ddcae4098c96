"""An image and what a model said of it, ready to be reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset

from classify.findings import findings_of
from classify.sr import Reported
from ponte.encapsulated import StudyHeader
from ponte.instance import open_instance
from tests.factories import encode
from tests.unit.classify.models import TARGETS, manifest


def reported_of(data: bytes, logits: Sequence[float] | None = None, **changes: Any) -> Reported:
    """Half of the findings are at or above their thresholds, where nothing else is said."""
    said = manifest(**changes)
    numbers = np.linspace(-6, 4, len(TARGETS)) if logits is None else np.array(logits)
    findings = findings_of(numbers.astype(np.float32), said)
    return Reported(open_instance(data), StudyHeader.read(data), findings, said)


def reported(dataset: FileDataset, **changes: Any) -> Reported:
    return reported_of(encode(dataset), **changes)
