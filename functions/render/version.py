"""Ponte's name and version, as the PDF states them."""

PRODUCT = "Ponte 0.1.0"
