"""What a saved diagnosis knows of a calculator's inputs: of one GPU, and of the engine that runs on it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from advisor.cli.diagnostics import CliError
from advisor.cli.documents import devices_named
from advisor.document import DeviceProvenance, Diagnosis
from advisor.naming import Place
from advisor.price_table import Model, model_of
from advisor.reports.escape import terminal
from advisor.reports.figures import percent, span
from rules.calculators.quantities import QUANTITIES
from rules.finding import LadderRow
from rules.power import mean_power_w
from rules.serving import ServingFigures

# A share of the time from which on a mean over it is called one of idling.
MOSTLY = 0.5


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """figures: quantity -> value and where in the diagnosis it stands. model: None for a MIG instance.

    lacks: why figures of tokens are not among them; empty where they are. doubts: quantity -> what speaks
    against taking it for what the GPU does at work.
    """

    figures: Mapping[str, tuple[float, str]]
    model: Model | None = None
    lacks: str = ""
    doubts: Mapping[str, tuple[str, ...]] = {}


def seen_in(diagnosis: Diagnosis, gpu: str | None) -> Seen:
    """Figures of one row. Raises CliError where it is not clear which row is meant."""
    key = _key(diagnosis, gpu)
    device = next((d for d in diagnosis.provenance.devices if d.key == key), None)
    row = next((row for row in diagnosis.ladder if row.key == key), None)
    engine = _engine(diagnosis, key)
    figures = {
        **_of_device(diagnosis, key),
        **({} if row is None else _of_ladder(row)),
        **({} if engine is None else _of_engine(engine)),
    }
    whole = device is not None and device.mig is None
    model = model_of(device.name, device.mem_total_bytes) if device is not None and whole else None
    kept = {n: (v, s) for n, (v, s) in figures.items() if v is not None and not QUANTITIES[n].problem(v)}
    lacks = "" if engine else "the diagnosis knows of no one inference engine on that GPU"
    return Seen(figures=kept, model=model, lacks=lacks, doubts={} if row is None else _doubts(row))


def _key(diagnosis: Diagnosis, gpu: str | None) -> str:
    """The row that is meant: the only one, or the one that --gpu names."""
    rows = {v.key: (v.gpu, v.mig) for v in diagnosis.verdicts} or {
        r.key: (r.gpu, r.mig) for r in diagnosis.ladder
    }
    if gpu is None:
        if len(rows) == 1:
            return next(iter(rows))
        raise CliError(f"the diagnosis holds {len(rows)} GPUs", f"choose with --gpu: {_choices(rows)}")
    named = devices_named(gpu, [Place(key, index, mig) for key, (index, mig) in rows.items()])
    found = [place for place in named if place.mig is None] or named
    if len(found) != 1:
        raise CliError(f"the diagnosis holds no one GPU {gpu!r}", f"choose with --gpu: {_choices(rows)}")
    return found[0].key


def _choices(rows: Mapping[str, tuple[int, str | None]]) -> str:
    names = [terminal(key) if mig else str(index) for key, (index, mig) in rows.items()]
    return ", ".join(names[:16]) or "there is none"


def _engine(diagnosis: Diagnosis, key: str) -> ServingFigures | None:
    """The engine on that device; of several none, as a price cannot be split between them."""
    on_it = [engine for engine in diagnosis.serving if key in engine.keys]
    alone = (
        [engine for engine in diagnosis.serving if not engine.keys] if len(diagnosis.verdicts) == 1 else []
    )
    found = on_it or alone
    return found[0] if len(found) == 1 else None


def _of_device(diagnosis: Diagnosis, key: str) -> dict[str, tuple[float | None, str]]:
    """Power: at its P90, and by the energy counter between its readings."""
    device = next((d for d in diagnosis.provenance.devices if d.key == key), None)
    if device is None:
        return {}
    energy_j, energy_s = _energy(diagnosis, device)
    mean_w = mean_power_w(energy_j, energy_s)
    name = f"GPU {device.gpu}"
    found: dict[str, tuple[float | None, str]] = {"power_p90_w": (device.power_w_p90, f"P90 power of {name}")}
    if mean_w and energy_j is not None and energy_s is not None:
        found["power_w"] = (mean_w, f"energy counter of {name}: {energy_j:,.0f} J in {span(energy_s)}")
    return found


def _energy(diagnosis: Diagnosis, device: DeviceProvenance) -> tuple[float | None, float | None]:
    """Joules, and the seconds between the readings they are of."""
    evidence = next((o.evidence for o in diagnosis.observed if o.key == device.key), None)
    if evidence is not None:
        return evidence.energy_j, evidence.energy_s
    kept = device.electricity
    return (None, None) if kept is None else (kept.energy_j, kept.seconds)


def _doubts(row: LadderRow) -> dict[str, tuple[str, ...]]:
    """A mean power that is mostly one of idling says little about work."""
    idle = row.shares.get("free", 0.0) + row.shares.get("idle_held", 0.0)
    if idle < MOSTLY:
        return {}
    said = (
        f"GPU {row.gpu} ran nothing for {percent(idle)} of the time: its power_w is mostly that of idling, "
        "and no power at which tokens were made. Give --power-w of a GPU at work, or another --gpu."
    )
    return {"power_w": (said,)}


def _of_ladder(row: LadderRow) -> dict[str, tuple[float | None, str]]:
    """The price, and what of the time was used. The basis of the price goes with it."""
    held = row.shares.get("free", 0.0) + row.shares.get("idle_held", 0.0)
    unknown = row.shares.get("unknown", 0.0)
    used = 1.0 - held - unknown
    found: dict[str, tuple[float | None, str]] = {
        "price_usd_h": (row.price_usd_h, f"{terminal(row.price_source)} ({terminal(row.basis)})")
    }
    if unknown < 1.0:
        source = f"ladder of GPU {row.gpu}: neither free nor idle-held"
        found["utilisation_frac"] = (min(1.0, used / (1.0 - unknown)), source)
    if used > 0.0:
        fed = 1.0 - row.shares.get("host_gap", 0.0) / used
        found["gr_active_frac"] = (fed, f"ladder of GPU {row.gpu}: no host gap, of the time in use")
    return found


def _of_engine(engine: ServingFigures) -> dict[str, tuple[float | None, str]]:
    """Rates, phases and responses. All of its devices together have the engine's price."""
    who = f"{terminal(engine.engine)} at {terminal(engine.endpoint)}"
    devices = max(1, len(engine.keys))
    total, length, counted = _tokens(engine)
    found: dict[str, tuple[float | None, str]] = {
        "prompt_tok_s": (engine.prompt_tok_s, who),
        "generation_tok_s": (engine.generation_tok_s, who),
        "tok_s": (total, f"{who}: {counted}"),
        "prefill_frac": (engine.prefill_time_frac, who),
        "tok_j": (engine.tok_j, f"{who}, by its devices' energy counters"),
        "step_ms": (None if engine.itl_p50_s is None else engine.itl_p50_s * 1e3, f"{who}: ITL p50"),
        "success_frac": (engine.good_response_frac, who),
        "tokens_per_response": (length, f"{who}: {counted}"),
    }
    if devices > 1:
        found["gpus"] = (float(devices), f"{who}: its devices")
    if engine.usd_h is not None:
        source = f"{who}, its devices' price over {devices}; " if devices > 1 else ""
        found["price_usd_h"] = (engine.usd_h / devices, source + terminal(engine.price_source))
    return found


def _tokens(engine: ServingFigures) -> tuple[float | None, float | None, str]:
    """Tokens a second, tokens a response, and which of them are counted: in both the same."""
    kinds = (
        (engine.prompt_tok_s, engine.prompt_tokens_per_response, "prompt"),
        (engine.generation_tok_s, engine.generation_tokens_per_response, "generated"),
    )
    known = [(rate, length, kind) for rate, length, kind in kinds if rate is not None]
    lengths = [length for _, length, _ in known if length is not None]
    length = sum(lengths) if lengths and len(lengths) == len(known) else None
    total = sum(rate for rate, _, _ in known) if known else None
    return total, length, " and ".join(kind for _, _, kind in known) + " tokens"
