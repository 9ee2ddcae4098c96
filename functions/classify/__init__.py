"""Chest radiographs through a model of the operator's own; its answer as JSON and as a DICOM SR.

Not a medical device. What comes out is a machine's, and nobody has verified it.
"""
