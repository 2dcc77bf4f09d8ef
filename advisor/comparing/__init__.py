"""Two diagnoses compared: matched row by row, checked for being comparable, then subtracted."""
