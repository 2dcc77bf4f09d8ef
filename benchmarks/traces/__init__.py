"""How fast, how lean and how robust the reading of traces is."""
