"""The closed lists of reason codes (INTERFACES, docs/adr/0002, 0009, 0015): what may stand in a report."""

from __future__ import annotations

from typing import Final

ARCHIVE: Final = frozenset({
    "NOT_A_ZIP", "ZIP_TRUNCATED", "ZIP_AMBIGUOUS", "ZIP_OVERLAP", "ZIP_BOMB", "ZIP_EMPTY", "ZIP_ENCRYPTED",
    "ZIP_METHOD", "ZIP_CRC", "ZIP_DEFLATE", "ZIP_NESTED", "ZIP_LIMIT", "ZIP_HEADER_MISMATCH",
})  # fmt: skip
"""Of an archive, or of a member that the archive does not give."""

INSTANCE: Final = frozenset({
    "NOT_DICOM", "EMPTY", "TRUNCATED", "BAD_LENGTH", "TOO_DEEP", "TOO_MANY", "HEADER_TOO_LARGE",
    "INFLATE_LIMIT", "BAD_UID", "MISSING_UID", "MISSING_SOP_CLASS", "MISSING_TRANSFER_SYNTAX",
    "UNKNOWN_TRANSFER_SYNTAX", "BAD_GROUP", "DUPLICATE_TAG", "TAG_ORDER", "NO_PIXEL_DATA", "PIXEL_LENGTH",
    "PIXEL_HEADER_MISMATCH", "PIXEL_BUDGET", "UID_CONFLICT", "SYMLINK", "NOT_REGULAR", "IGNORED_NAME",
    "DESTINATION_REFUSED",
})  # fmt: skip
"""Why an instance does not go on."""

SPOOL: Final = frozenset({"COMMAND_MISMATCH", "DIGEST_MISMATCH"})
"""Why the router keeps back an instance that came by C-STORE, besides the above (docs/adr/0010, 0014)."""

NOTES: Final = frozenset({
    "NO_META", "PREAMBLE_NEUTRALISED", "META_MISMATCH", "EXCESS_PIXELS", "PREFIX_DATA", "CHARSET",
})  # fmt: skip
"""Of an instance that does."""

RENDERING: Final = frozenset({"CANNOT_DECODE", "UNSUPPORTED_SYNTAX", "NOT_AN_IMAGE", "MEMORY", "TIME"})
"""Why an instance has no picture; any of the above may be the reason too."""

RUN: Final = frozenset({
    "PACS_ERROR", "PACS_TIMEOUT", "LEDGER_BUSY", "STORAGE_FULL", "MEMORY", "INVALID_REQUEST", "INTERNAL",
})  # fmt: skip
"""Why a run over an archive ended early: no verdict on what is in it."""
