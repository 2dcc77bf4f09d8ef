"""The form of an engine's table: which of its metrics is which quantity."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Series(msgspec.Struct, frozen=True):
    """Where a quantity is read: a metric's name, with or without `_total`; several names are tried in turn.

    labels: label -> the values that count. factor: into tokens, seconds or shares. times: another metric to
    multiply by, for a mean whose sum is wanted.
    """

    name: str
    labels: Mapping[str, tuple[str, ...]] = {}
    factor: float = 1.0
    times: str | None = None


Sources = Mapping[str, tuple[Series, ...]]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One engine. marks: how its metrics' names begin. model_labels: labels that name the model.

    aliases: another beginning -> the one used here, as for engines behind a proxy that renames them.
    only: label -> values of the series that count, where others say the same again. digits: significant
    digits it prints, None for all. absent: quantity -> why this engine does not tell it. note: what to know
    of its figures. switch: how its metrics are turned on.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    counters: Sources
    gauges: Sources
    histograms: Sources = {}
    model_labels: tuple[str, ...] = ("model_name",)
    paths: tuple[str, ...] = ("/metrics",)
    ports: tuple[int, ...] = (8000,)
    aliases: Mapping[str, str] = {}
    only: Mapping[str, tuple[str, ...]] = {}
    digits: int | None = None
    absent: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    switch: str = ""


def first(*names: str, factor: float = 1.0) -> tuple[Series, ...]:
    """The first of these names that is there."""
    return tuple(Series(name, factor=factor) for name in names)
