"""Whether modalities, destinations and this machine are as they should be, step by step, and what to do."""
