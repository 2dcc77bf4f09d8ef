"""HTA (traceinsight) on one trace: its temporal breakdown. Runs in HTA's own Python, without this project."""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")

from hta.trace_analysis import TraceAnalysis  # noqa: E402


def main() -> None:
    """Load one file as rank 0 and print what HTA says of its time."""
    analysis = TraceAnalysis(trace_files={0: sys.argv[1]})
    row = analysis.get_temporal_breakdown(visualize=False).iloc[0]
    print(json.dumps({key: float(value) for key, value in row.items()}))


if __name__ == "__main__":
    main()
