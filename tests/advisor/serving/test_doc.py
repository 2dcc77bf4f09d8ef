"""docs/serving.md names every series that is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.serving.engines import ENGINES, Engine

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


def section(title: str) -> str:
    """What the page says under an engine's own heading, and no other's."""
    for part in re.split(r"^#{2,3} ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading, _, text = part.partition("\n")
        if heading == title:
            return text
    raise AssertionError(f"no section {title}")


def rows(title: str) -> dict[str, str]:
    """Quantity -> series, as its table has them."""
    cells = [line.strip("| ").split(" | ") for line in section(title).splitlines() if line.startswith("| ")]
    return {name: series for name, series in cells if name != "quantity"}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_every_series_is_written_down_under_its_engine(engine: Engine) -> None:
    read = {**engine.counters, **engine.gauges, **engine.histograms}
    written = rows(engine.title)
    assert list(written) == list(read)
    for quantity, sources in read.items():
        names = [name for source in sources for name in (source.name, source.times) if name]
        assert re.findall(r"`([a-z0-9_:]+)", written[quantity]) == names, quantity
    for port in engine.ports:
        assert re.search(rf"\b{port}\b", section(engine.title))


def test_no_section_is_of_an_engine_that_is_not_read() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^### (.*)$", text, flags=re.MULTILINE) == [engine.title for engine in ENGINES]
