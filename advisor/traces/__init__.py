"""Offline timelines: what a profiler wrote, in columns; idle and busy time divided to the nanosecond."""
