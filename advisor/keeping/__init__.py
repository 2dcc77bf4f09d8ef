"""The history: past diagnoses and probe runs of this node's devices, in one SQLite file."""
