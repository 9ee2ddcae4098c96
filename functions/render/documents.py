"""What the API says of itself: title, version, and the ReDoc page."""

from __future__ import annotations

TITLE = "Ponte"
VERSION = "0.1.0"
DESCRIPTION = (
    "A DICOM study becomes a PDF: POST a study's UID, and the PDF arrives at your callback, or as the answer."
)
# Pinned, and checked by the browser: a changed script does not run.
_REDOC = "https://cdn.jsdelivr.net/npm/redoc@2.5.0/bundles/redoc.standalone.js"
_REDOC_INTEGRITY = "sha384-4vOjrBu7SuDWXcAw1qFznVLA/sKL+0l4nn+J1HY8w7cpa6twQEYuh4b0Cwuo7CyX"


def redoc_page() -> str:
    """The reference as one page. Its script comes from a public network; `/docs` does without."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}: reference</title>
<style>body {{ margin: 0; font-family: sans-serif }} p {{ margin: 1em }}</style>
</head>
<body>
<redoc spec-url="openapi.json">
<p>This page needs its script from a public network. <a href="docs">/docs</a> shows the same without one.</p>
</redoc>
<script src="{_REDOC}" integrity="{_REDOC_INTEGRITY}" crossorigin="anonymous"></script>
</body>
</html>
"""
