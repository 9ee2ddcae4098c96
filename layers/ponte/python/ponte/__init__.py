"""DICOM alone: errors, sources, pixels, display. No boto3, no Powertools, no pynetdicom: it runs anywhere."""
