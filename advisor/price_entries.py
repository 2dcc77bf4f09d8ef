"""Entries of [prices] that no GPU can ever match: a misspelt model is a price that is silently not used."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from advisor.price_table import model_of
from probes.specs import all_specs, bare_name


def entry_warnings(entries: Iterable[str], here: Collection[str] = ()) -> tuple[str, ...]:
    """A sentence for each entry that is no known model, short name or driver's name.

    here: names of GPUs that are there or were asked for, which may be newer than the bundled tables.
    """
    known = {name.lower(): name for spec in all_specs() for name in (spec.model, spec.gpu)}
    seen = {_plain(name) for name in here} | {bare_name(name)[0] for name in here}
    return tuple(
        f"[prices] {entry!r} matches no model that advisor knows{_hint(entry, known)}; it is used only for a "
        "GPU that its driver calls so"
        for entry in entries
        if not ({_plain(entry), bare_name(entry)[0]} & seen or _plain(entry) in known or _is_named(entry))
    )


def _is_named(entry: str) -> bool:
    """Whether a driver's name is known that reads so."""
    model = model_of(entry)
    return model.spec is not None or bool(model.accelerators)


def _hint(entry: str, known: dict[str, str]) -> str:
    near = difflib.get_close_matches(_plain(entry), known, n=1, cutoff=0.5)
    return f" (did you mean {known[near[0]]!r}?)" if near else ""


def _plain(name: str) -> str:
    return " ".join(name.lower().split())
