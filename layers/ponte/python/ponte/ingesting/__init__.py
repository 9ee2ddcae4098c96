"""The parts of `ponte.ingest`."""
