"""The head of the copy that is sent, where the one that came is not fit to be passed on.

The dataset is never touched. PS3.10 7.1.
"""

from __future__ import annotations

from typing import Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ponte.destination import Outgoing
from ponte.filemeta import part10_head
from ponte.ingesting.spool import Content, peek
from ponte.scan import Verdict
from ponte.structure import looks_explicit

_NOT_AS_IT_CAME: Final = frozenset({"NO_META", "PREAMBLE_NEUTRALISED", "META_MISMATCH"})
_FIRST_ELEMENT = 8
_PLAIN = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian})


def outgoing(verdict: Verdict, content: Content) -> Outgoing:
    """An accepted instance as it is to be sent: as it came, or behind a head of ours."""
    uid, class_uid, start = verdict.sop_instance_uid, verdict.sop_class_uid, verdict.dataset_start
    syntax = verdict.transfer_syntax_uid
    if uid is None or class_uid is None or syntax is None or start is None or not verdict.accepted:
        raise ValueError("only an accepted instance is sent")
    head = None
    if not _NOT_AS_IT_CAME.isdisjoint(verdict.notes):
        syntax = _true_syntax(syntax, content, start)
        head = part10_head(class_uid, uid, syntax)
    return Outgoing(uid, content, class_uid, syntax, start, head)


def _true_syntax(declared: str, content: Content, start: int) -> str:
    """Of the two plain ones, the one that the dataset is written in; the others say more than that."""
    if declared not in _PLAIN:
        return declared
    explicit = looks_explicit(peek(content, start, _FIRST_ELEMENT), 0)
    return ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
