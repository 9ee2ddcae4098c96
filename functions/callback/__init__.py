"""Tell others of a job's end: its caller at `UrlCallback`, and the operator's log API."""
