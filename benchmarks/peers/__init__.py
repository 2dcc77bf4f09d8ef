"""The probes beside the best public benchmark of each kind, in the same run."""
