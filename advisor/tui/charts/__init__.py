"""Charts as rows of text: pure functions of data, size and glyphs."""
