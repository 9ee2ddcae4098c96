"""Putting the edge box onto a machine, and looking after what it keeps: install, backup, restore, upgrade."""
