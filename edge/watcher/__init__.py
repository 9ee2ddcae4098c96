"""A folder of ZIPs to a destination: what `ponte watch` runs, and the router's service."""
