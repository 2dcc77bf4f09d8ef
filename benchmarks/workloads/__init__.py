"""Labelled workloads: programs with a bottleneck known by construction and by their own accounting."""
