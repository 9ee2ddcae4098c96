"""Coded concepts in words (PS3.3 8.8): the meaning, or where there is none the code and its scheme."""

from __future__ import annotations

import re
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from ponte import attributes
from ponte.quiet import BROKEN_INPUT
from render.documents.words import Words

_VALUES: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")
_PLAIN_UNIT = re.compile(r"[A-Za-z%/.\d*^-]+", re.ASCII)
_POWERS: Final = str.maketrans("23", "²³")


def meaning(item: Dataset) -> str:
    """`Nodule`, or `27925004 (SCT)`; "" of an empty item."""
    said = attributes.text(item, "CodeMeaning")
    return said or with_scheme(item)


def with_scheme(item: Dataset) -> str:
    """`27925004 (SCT)`; "" where there is no code."""
    value = code_value(item)
    scheme = attributes.text(item, "CodingSchemeDesignator")
    return f"{value} ({scheme})" if value and scheme else value


def code_value(item: Dataset) -> str:
    """The code, in whichever of the three attributes it stands."""
    return next((value for keyword in _VALUES if (value := attributes.text(item, keyword))), "")


def meaning_of(dataset: Dataset, keyword: str) -> str:
    """The meaning of the first item of a code sequence; "" where there is none."""
    return next((meaning(item) for item in attributes.items(dataset, keyword)[:1]), "")


def unit(dataset: Dataset, keyword: str) -> str:
    """The unit as one writes it after a number: `mm`, `cm²`, `Hounsfield Unit`.

    UCUM's code is the symbol itself where it has no brackets; `1` is no unit.
    """
    for item in attributes.items(dataset, keyword)[:1]:
        value, said = code_value(item), attributes.text(item, "CodeMeaning")
        if attributes.text(item, "CodingSchemeDesignator") == "UCUM":
            if value == "1":
                return ""
            if _PLAIN_UNIT.fullmatch(value):
                return re.sub(r"(?<=[a-z])[23]\b", lambda power: power[0].translate(_POWERS), value)
            return said or value
        return f"{said} ({value})" if said and value and said != value else said or value
    return ""


def class_name(sop_class_uid: str, words: Words) -> str:
    """The SOP class in words, without `Storage`; one that nobody knows by its UID."""
    known = words.classes.get(sop_class_uid)
    if known is not None:
        return known
    try:
        name = str(UID(sop_class_uid).name)
    except BROKEN_INPUT:
        return sop_class_uid
    return name.removesuffix(" Storage").replace(" Storage - ", ", ")
