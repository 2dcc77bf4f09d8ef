"""Simulated recordings of every workload. Synthetic: they test the benchmark's machinery and prove nothing.

The card is a small physical model (`card`), programs are what such programs do (`host_programs`,
`device_programs`), and neither knows a rule's threshold, so that a corpus can show a rule wrong.
"""

from __future__ import annotations

from benchmarks.accuracy.simulated.corpus import make, programs

__all__ = ["make", "programs"]
