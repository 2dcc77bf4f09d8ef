"""advisor: what limits a GPU workload, how that is known, what it costs, and what to do."""

__version__ = "0.1.0"
