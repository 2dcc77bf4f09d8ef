"""Micro-probes: what this very card can do. Stands alone; imports neither rules nor advisor."""
