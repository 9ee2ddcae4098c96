"""The fonts that documents embed: where they are, which glyphs draw a text, which objects hold them."""
