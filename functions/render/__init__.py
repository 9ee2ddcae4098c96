"""A study becomes a PDF: `api` takes the request, `worker` does the work."""
