"""Micro-probes: what this very card can do. Stands alone; imports neither rules nor advisor."""

# Counts up when a change of method makes figures no longer comparable with stored ones.
METHOD_VERSION = 1
