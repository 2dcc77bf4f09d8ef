"""docs/serving.md names every series that is read."""

from __future__ import annotations

from pathlib import Path

from advisor.serving.engines import ENGINES

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


def test_every_engine_and_series_is_written_down() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for engine in ENGINES:
        assert f"### {engine.title}\n" in text
        for table in (engine.counters, engine.gauges, engine.histograms):
            for quantity, sources in table.items():
                assert f"| {quantity} |" in text
                assert all(f"`{source.name}" in text for source in sources), quantity
