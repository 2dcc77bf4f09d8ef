"""Export: the diagnosis as Markdown and JSON, next to each other."""

from __future__ import annotations

import time
from pathlib import Path

from advisor.document import Diagnosis

# Of a trace's name in a file's: there is more to both.
_NAME_LENGTH = 80


def stamp(t_s: float) -> str:
    """Unix time as a file name's part: "20260401-140231", local time."""
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(t_s))


def _stem(shown: Diagnosis) -> str:
    """ "advisor-20260401-140231"; of a trace with its name, "advisor-run-20260401-140231"."""
    when = f"-{stamp(shown.provenance.t_end_s)}" if shown.provenance.t_end_s > 0 else ""
    files = shown.trace.files if shown.trace is not None else ()
    if not files:
        return f"advisor{when}"
    name = files[0].name
    for suffix in (".gz", ".json", ".sqlite", ".trace", ".pt"):
        name = name.removesuffix(suffix)
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in name)
    more = f"-and-{len(files) - 1}-more" if len(files) > 1 else ""
    return f"advisor-{plain[:_NAME_LENGTH].strip('-._') or 'trace'}{more}{when}"


def free_path(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """The first of stem, stem-2, stem-3, ... of which no file with any of the suffixes exists."""
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        if not any((folder / f"{name}{suffix}").exists() for suffix in suffixes):
            return folder / name
        number += 1


def path_within(path: Path, width: int) -> str:
    """The path as it is, from the current folder on where it lies there; a long one loses its beginning."""
    here = Path.cwd()
    text = str(path.relative_to(here) if path.is_relative_to(here) else path)
    return text if len(text) <= width else "…" + text[len(text) - max(1, width - 1) :]


def export(diagnosis: Diagnosis, folder: Path, *, redact: bool = True) -> tuple[Path, ...]:
    """Write the report as .md and .json into `folder`. Raises OSError or WriteError when it cannot."""
    from advisor.bills import with_bills
    from advisor.reports.files import write_atomic
    from advisor.reports.json import encode
    from advisor.reports.markdown import render_markdown
    from advisor.reports.redact import redact_diagnosis

    shown = redact_diagnosis(with_bills(diagnosis), keep=not redact)
    base = free_path(folder, _stem(shown), (".md", ".json"))
    report, data = base.with_name(base.name + ".md"), base.with_name(base.name + ".json")
    write_atomic(report, render_markdown(shown).encode())
    write_atomic(data, encode(shown))
    return report, data
