"""A document's charts as PNG, for places that show no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from advisor.document import Diagnosis
from advisor.reports.charts.catalogue import charts_of
from advisor.reports.charts.footer import footer
from advisor.reports.files import write_atomic


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image that was written. name: the file's, without its folder."""

    name: str
    title: str


def write_images(diagnosis: Diagnosis, beside: Path) -> tuple[Image, ...]:
    """One PNG a chart beside a file: report.html gives report-ladder.png. Raises WriteError."""
    made = []
    for chart in charts_of(diagnosis):
        path = beside.with_name(f"{beside.stem}-{chart.name}.png")
        write_atomic(path, chart.png(footer(diagnosis, chart.key)))
        made.append(Image(name=path.name, title=chart.title))
    return tuple(made)


def image_links(images: Sequence[Image], flavor: Literal["github", "jira"]) -> str:
    """The images as a report in Markdown or Jira's markup shows them, once they are attached beside it."""
    if flavor == "jira":
        return "".join(f"!{_plain(image.name)}|width=800!\n\n" for image in images)
    return "".join(f"![{image.title}](<{_plain(image.name)}>)\n\n" for image in images)


def _plain(name: str) -> str:
    """A file's name without what markup obeys; whoever chose such a name links the image by hand."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name)
