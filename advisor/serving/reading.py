"""From a page of metrics to readings: one a model, under names that are the same for every engine."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from advisor.serving.engines import ENGINES, Engine
from advisor.serving.engines.table import Series, Sources
from advisor.serving.exposition import Parsed, Point, parse
from rules.engine_reading import Buckets, Reading

# Models and series of one endpoint; real ones have a few.
MAX_MODELS = 32
MAX_SERIES = 256
MAX_BUCKETS = 200
_MODEL_LENGTH = 200

Points = Mapping[str, Sequence[Point]]
_ALIASES = {old: new for engine in ENGINES for old, new in engine.aliases.items()}


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one page said: the engine, and a reading of each of its models."""

    engine: Engine
    readings: tuple[Reading, ...]


class UnknownEngineError(Exception):
    """The page has metrics, but none of an engine that can be read."""


def read_page(text: str, t_s: float, started: str | None = None) -> Page:
    """The readings of a page. Raises ExpositionError: no metrics; UnknownEngineError: no engine's metrics."""
    parsed = parse(text, _wanted)
    points = _renamed(parsed)
    engine = _engine_of(points)
    if engine is None:
        raise UnknownEngineError(f"its metrics are of no engine that can be read ({_examples(parsed.names)})")
    start = started or _start_time(points)
    base = Reading(t_s=t_s, started=start, digits=engine.digits, damaged=parsed.damaged)
    return Page(engine=engine, readings=tuple(_by_model(engine, points, base)))


@functools.cache
def _used() -> frozenset[str]:
    """Names of all samples that a table reads."""
    return frozenset(
        name
        for engine in ENGINES
        for table in (engine.counters, engine.gauges, engine.histograms)
        for sources in table.values()
        for source in sources
        for base in (source.name, source.times or source.name)
        for name in (base, f"{base}_total", f"{base}_bucket")
    )


def _wanted(name: str) -> bool:
    return name == "process_start_time_seconds" or _name(name) in _used()


def _name(name: str) -> str:
    """The name that the tables use."""
    old = next((a for a in _ALIASES if name.startswith(a)), None)
    return name if old is None else _ALIASES[old] + name[len(old) :]


def _renamed(parsed: Parsed) -> dict[str, list[Point]]:
    """The samples under the names that the tables use."""
    out: dict[str, list[Point]] = {}
    for name, found in parsed.points.items():
        out.setdefault(_name(name), []).extend(found)
    return out


def _engine_of(points: Points) -> Engine | None:
    """The engine of most of the samples' names; of two with as many the one that stands first."""
    scores = [(sum(name.startswith(engine.marks) for name in points), engine) for engine in ENGINES]
    best = max(scores, key=lambda scored: scored[0])
    return best[1] if best[0] else None


def _examples(names: Iterable[str]) -> str:
    shown = sorted({name.partition(":")[0].partition("_")[0][:20] for name in names})
    return "they begin with " + ", ".join(shown[:4])


def _start_time(points: Points) -> str | None:
    found = points.get("process_start_time_seconds", ())
    return f"{found[0].value:.3f}" if len(found) == 1 else None


def _by_model(engine: Engine, points: Points, base: Reading) -> Iterator[Reading]:
    """A reading of each model; what carries no model's name belongs to the only one, or stands alone."""
    models = dict.fromkeys(
        _model(engine, p) for name, found in points.items() if name.startswith(engine.marks) for p in found
    )
    named = [model for model in models if model is not None][:MAX_MODELS]
    if len(named) <= 1:
        yield _reading(engine, points, base, named[0] if named else None, strict=False)
        return
    for model in [*named, *([None] if None in models else [])]:
        reading = _reading(engine, points, base, model, strict=True)
        if reading.counters or reading.gauges or reading.histograms:
            yield reading


def _model(engine: Engine, point: Point) -> str | None:
    name = next((point.labels[label] for label in engine.model_labels if point.labels.get(label)), None)
    return None if name is None else name[:_MODEL_LENGTH]


def _reading(engine: Engine, points: Points, base: Reading, model: str | None, *, strict: bool) -> Reading:
    def mine(point: Point) -> bool:
        fits = not strict or _model(engine, point) == model
        return fits and all(point.labels.get(k, ok[0]) in ok for k, ok in engine.only.items())

    own = {name: [p for p in found if mine(p)] for name, found in points.items()}
    return msgspec.structs.replace(
        base,
        model=model,
        counters=_values(engine.counters, own),
        gauges=_values(engine.gauges, own),
        histograms=_histograms(engine.histograms, own),
    )


def _values(sources: Sources, points: Points) -> dict[str, dict[str, float]]:
    """Quantity -> series -> value, of the first source that has any."""
    found = {
        name: next((v for s in choices if (v := _series(s, points))), {}) for name, choices in sources.items()
    }
    return {name: values for name, values in found.items() if values}


def _series(source: Series, points: Points) -> dict[str, float]:
    factors = None if source.times is None else _plain(source.times, {}, points)
    values: dict[str, float] = {}
    for key, value in _plain(source.name, source.labels, points).items():
        by = 1.0 if factors is None else factors.get(key)
        if by is not None and len(values) < MAX_SERIES:
            values[key] = value * source.factor * by
    return values


def _plain(name: str, labels: Mapping[str, tuple[str, ...]], points: Points) -> dict[str, float]:
    """Series -> value of a metric, with or without `_total`. Nothing that is read can be below 0."""
    out: dict[str, float] = {}
    for point in _named(name, points):
        if point.value >= 0.0 and all(point.labels.get(k) in wanted for k, wanted in labels.items()):
            key = digest(point.labels)
            out[key] = out.get(key, 0.0) + point.value
    return out


def _named(name: str, points: Points) -> Sequence[Point]:
    return points.get(f"{name}_total") or points.get(name) or ()


def digest(labels: Mapping[str, str]) -> str:
    """A short name of a set of labels: what they hold is untrusted, and may be long or private."""
    if not labels:
        return ""
    text = "\0".join(f"{k}\1{v}" for k, v in sorted(labels.items()))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _histograms(sources: Sources, points: Points) -> dict[str, dict[str, Buckets]]:
    found = {
        name: next((b for s in choices if (b := _buckets(s, points))), {})
        for name, choices in sources.items()
    }
    return {name: buckets for name, buckets in found.items() if buckets}


def _buckets(source: Series, points: Points) -> dict[str, Buckets]:
    """Series -> histogram; one whose buckets make no sense is left out."""
    raw: dict[str, dict[float, float]] = {}
    for point in points.get(f"{source.name}_bucket", ()):
        bound = _bound(point.labels.get("le", ""))
        rest = {k: v for k, v in point.labels.items() if k != "le"}
        if bound is not None and all(rest.get(k) in wanted for k, wanted in source.labels.items()):
            raw.setdefault(digest(rest), {})[bound] = point.value
    made = {key: _histogram(values, source.factor) for key, values in list(raw.items())[:MAX_SERIES]}
    return {key: buckets for key, buckets in made.items() if buckets is not None}


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _histogram(values: Mapping[float, float], factor: float) -> Buckets | None:
    finite = sorted(bound for bound in values if math.isfinite(bound))
    if math.inf not in values or len(finite) > MAX_BUCKETS:
        return None
    counts = (*(values[bound] for bound in finite), values[math.inf])
    buckets = Buckets(bounds=tuple(bound * factor for bound in finite), counts=counts)
    return buckets if buckets.sound and counts[0] >= 0.0 else None
