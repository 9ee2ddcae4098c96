"""A ZIP in the inbox bucket becomes instances in the PACS, a report, and what could not be sent."""
