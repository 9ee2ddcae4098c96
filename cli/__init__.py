"""The `ponte` command: thin doors onto the functions that Lambda and the router run."""
