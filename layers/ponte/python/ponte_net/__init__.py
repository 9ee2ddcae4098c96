"""DICOM over the network, on pynetdicom: shared by ZIP ingest, router and command."""
