"""The parts of `ponte.archive`: the directory of a ZIP, its members, and their names."""
