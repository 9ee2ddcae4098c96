"""What the functions share of AWS: job rows, secrets, queues. Imports `ponte`, never the other way."""
