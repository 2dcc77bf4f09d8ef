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
        self._readings: dict[Place, list[Reading]] = {}
        self._looks: dict[str, EngineLook] = {}
        self.problems: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._readings)

    def add(self, look: EngineLook) -> None:
        """Take one look. A failed one leaves the readings that were had."""
        if look.problem:
            self.problems[look.endpoint] = look.problem
        if not look.readings:
            return
        self.problems.pop(look.endpoint, None)
        before = self._looks.get(look.endpoint)
        if before is not None and before.engine != look.engine:
            self._drop(look.endpoint)
        self._looks[look.endpoint] = look
        for reading in look.readings:
            place = Place(look.endpoint, reading.model)
            if place not in self._readings and len(self._readings) >= PLACES:
                continue
            kept = self._readings.setdefault(place, [])
            if not kept or reading.t_s > kept[-1].t_s:
                kept.append(reading)
            if len(kept) > READINGS:
                del kept[1:-1:2]

    def forget(self, before_s: float) -> None:
        """Drop readings from before this time, all but the last one of them, from which growth is counted."""
        for place, kept in list(self._readings.items()):
            stale = sum(r.t_s < before_s for r in kept)
            if stale == len(kept):
                del self._readings[place]
            elif stale > 1:
                del kept[: stale - 1]

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
            del self._readings[place]


def _works(made: ServingFigures) -> bool:
    return bool(made.generation_tok_s or made.prompt_tok_s or made.response_s)


def _order(item: tuple[Place, list[Reading]]) -> tuple[str, str]:
    return item[0].endpoint, item[0].model or ""
