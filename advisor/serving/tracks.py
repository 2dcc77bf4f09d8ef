"""Tracks of engines: what is kept of each endpoint while a stream goes by, and the figures made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from advisor.serving.engines import engine_named
from advisor.telemetry.records import EngineLook
from rules.engine_reading import Reading
from rules.serving import ServingFigures
from rules.serving_figures import EngineFacts, Money, figures, priced
from rules.slo import Slo, parse_slo

# Readings kept of a model over a whole run; beyond that every second one of the past is dropped. Growth
# between the others stays exact.
READINGS = 720
# Numbers kept in all readings together, some 64 MB, before those of the past are thinned out further.
NUMBERS = 2_000_000
# A reading this much older than the last one tells that the clock was set back, not that it came late.
CLOCK_BACK_S = 1.0
# Programs that publish no metrics are asked every minute: why they do not holds as long, beyond a window.
PROBLEM_HOLDS_S = 65.0
# Models kept at all endpoints together: a page that invents new ones at every look fills no memory.
PLACES = 64
_TWO_MODELS = "several models share these GPUs, and their price cannot be told apart"

# Price and power of these devices between two times, as a Monitor knows them.
Pricing = Callable[[tuple[str, ...], float, float], Money]


def slo_of(text: str) -> Slo | None:
    """The objective of a configuration; None where it states none, or none that can be read."""
    try:
        return parse_slo(text) if text else None
    except ValueError:
        return None


class Place(NamedTuple):
    """One model at one endpoint."""

    endpoint: str
    model: str | None


class EngineTracks:
    """The engines of a stream. slo: the objective that they are held against."""

    def __init__(self, slo: Slo | None = None) -> None:
        self._slo = slo
        self.restart()

    def restart(self) -> None:
        """Forget all that was read, as where the clock was set: rates divide by differences of times."""
        self._readings: dict[Place, list[Reading]] = {}
        self._numbers = 0
        self._looks: dict[str, EngineLook] = {}
        self._problems: dict[str, EngineLook] = {}

    def __bool__(self) -> bool:
        return bool(self._readings)

    @property
    def problems(self) -> dict[str, str]:
        """Endpoint -> why its last look has no readings."""
        return {endpoint: look.problem for endpoint, look in self._problems.items()}

    def add(self, look: EngineLook) -> None:
        """Take one look. A failed one leaves the readings that were had."""
        if look.problem:
            self._problems[look.endpoint] = look
        if not look.readings:
            return
        self._problems.pop(look.endpoint, None)
        before = self._looks.get(look.endpoint)
        if before is not None and (before.engine != look.engine or look.t_s < before.t_s - CLOCK_BACK_S):
            self._drop(look.endpoint)
        self._looks[look.endpoint] = look
        for reading in look.readings:
            self._keep(Place(look.endpoint, reading.model), reading)

    def _keep(self, place: Place, reading: Reading) -> None:
        if place not in self._readings and len(self._readings) >= PLACES:
            return
        kept = self._readings.setdefault(place, [])
        if not kept or reading.t_s > kept[-1].t_s:
            kept.append(reading)
            self._numbers += size(reading)
        if len(kept) > READINGS:
            self._thin(kept)
        while self._numbers > NUMBERS and (long := [k for k in self._readings.values() if len(k) > 2]):
            self._thin(max(long, key=lambda each: sum(map(size, each))))

    def _thin(self, kept: list[Reading]) -> None:
        """Drop every second one, but neither the first nor the last."""
        self._cut(kept, slice(1, -1, 2))

    def _cut(self, kept: list[Reading], which: slice) -> None:
        self._numbers -= sum(map(size, kept[which]))
        del kept[which]

    def forget(self, before_s: float) -> None:
        """Drop readings from before this time, all but the last one of them, from which growth is counted."""
        for place, kept in list(self._readings.items()):
            stale = sum(r.t_s < before_s for r in kept)
            if stale == len(kept):
                self._remove(place)
            elif stale > 1:
                self._cut(kept, slice(stale - 1))
        held = before_s - PROBLEM_HOLDS_S
        self._problems = {name: look for name, look in self._problems.items() if look.t_s >= held}

    def figures(self, pricing: Pricing | None = None) -> tuple[ServingFigures, ...]:
        """Figures of every model, those of one endpoint together; with dollars and joules where priced."""
        made = {place: self._made(place, kept) for place, kept in sorted(self._readings.items(), key=_order)}
        if pricing is None:
            return tuple(made.values())
        return tuple(self._priced(place, one, made, pricing) for place, one in made.items())

    def on(self, key: str) -> ServingFigures | None:
        """The figures of the engine that holds a device: of several the one with the most requests."""
        here = [
            self._made(place, kept)
            for place, kept in self._readings.items()
            if key in self._looks[place.endpoint].keys
        ]
        return max(here, key=lambda f: (f.running or 0.0, f.generation_tok_s or 0.0), default=None)

    def _made(self, place: Place, kept: list[Reading]) -> ServingFigures:
        look = self._looks[place.endpoint]
        engine = engine_named(look.engine)
        facts = EngineFacts(
            endpoint=look.endpoint,
            engine=look.engine,
            keys=look.keys,
            absent=engine.absent if engine else {},
            notes=engine.notes if engine else (),
        )
        return figures(facts, kept, self._slo)

    def _priced(
        self, place: Place, one: ServingFigures, every: dict[Place, ServingFigures], pricing: Pricing
    ) -> ServingFigures:
        """With its devices' price, unless models with tokens of their own share them."""
        keys = set(one.keys)
        rivals = [
            other
            for at, other in every.items()
            if at != place and (at.endpoint == place.endpoint or keys & set(other.keys)) and _works(other)
        ]
        if rivals:
            return priced(one, Money(no_price=_TWO_MODELS, no_power=_TWO_MODELS))
        return priced(one, pricing(one.keys, one.t_start_s, one.t_end_s))

    def _drop(self, endpoint: str) -> None:
        for place in [p for p in self._readings if p.endpoint == endpoint]:
            self._remove(place)

    def _remove(self, place: Place) -> None:
        self._cut(self._readings[place], slice(None))
        del self._readings[place]


def size(reading: Reading) -> int:
    """How many numbers a reading holds."""
    single = sum(len(series) for series in (*reading.counters.values(), *reading.gauges.values()))
    return single + sum(len(b.counts) for series in reading.histograms.values() for b in series.values())


def _works(made: ServingFigures) -> bool:
    return bool(made.generation_tok_s or made.prompt_tok_s or made.response_s)


def _order(item: tuple[Place, list[Reading]]) -> tuple[str, str]:
    return item[0].endpoint, item[0].model or ""
