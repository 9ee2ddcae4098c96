"""What can go wrong with a model, beside what `ponte.errors` has."""

from __future__ import annotations

from ponte.errors import PermanentError, TransientError


class NoModel(PermanentError):
    """Nobody has said which model is to be used. Ponte brings none."""

    default_code = "NO_MODEL"


class ModelRefused(PermanentError):
    """The model, or its manifest, is not what it says that it is, or not what is expected."""

    default_code = "MODEL_REFUSED"


class ModelUnavailable(TransientError):
    """The place that has the model cannot be reached."""

    default_code = "MODEL_UNAVAILABLE"
