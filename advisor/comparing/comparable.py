"""Whether two looks can be compared: every way in which they are not alike, and what that does to figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from advisor.comparing.rows import Row
from advisor.document import Diagnosis, Provenance
from advisor.reports.figures import number, percent, span
from probes.ceilings import Ceilings
from rules import thresholds_compare as tc
from rules.compare.records import Difference, Group, Weight

UNKNOWN = "unknown"
_WEIGHTS: tuple[Weight, ...] = ("blocking", "weakening", "info")
_WEAK_FLAGS = {
    "gpu-lost": "the card did not answer for a part of it",
    "sampler-silent": "the sampler was silent for a part of it",
    "gap": "a part of it has no data",
    "clock-step": "the clock was set meanwhile, and what was before is left out",
    "short-window": "it is too short to say much",
    "ceiling-exceeded": "the ceilings are too low, so that fractions of roofs are too high",
}


# A clock that is low because nothing runs.
_NO_THROTTLE = frozenset({"gpu_idle"})


def told(code: str, weight: Weight, a: object, b: object, effect: str, *refuses: Group) -> Difference:
    """A difference; what one side does not know is said as that."""
    shown = [UNKNOWN if value is None else str(value) for value in (a, b)]
    return Difference(code=code, weight=weight, a=shown[0], b=shown[1], effect=effect, refuses=refuses)


def ordered(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """What blocks first, then what weakens."""
    return tuple(sorted(found, key=lambda difference: _WEIGHTS.index(difference.weight)))


# --- the looks ------------------------------------------------------------------------------------


def of_looks(a: Diagnosis, b: Diagnosis) -> tuple[Difference, ...]:
    """Differences that hold for every row: synthetic data, software, node, time."""
    p, q = a.provenance, b.provenance
    return ordered([*_data(p, q), *_software(p, q), *_node(p, q), *_times(p, q), *_chosen(p, q)])


def _data(p: Provenance, q: Provenance) -> Iterator[Difference]:
    if p.synthetic != q.synthetic:
        words = {True: "synthetic", False: "of a real GPU"}
        effect = "made-up figures say nothing about a real card"
        yield told("synthetic", "blocking", words[p.synthetic], words[q.synthetic], effect, "all")
    elif p.synthetic:
        yield told("synthetic", "info", "synthetic", "synthetic", "no GPU produced these figures")
    if _same_look(p, q):
        yield told("same-look", "info", p.created, q.created, "both are one look: nothing can have changed")


def _same_look(p: Provenance, q: Provenance) -> bool:
    return (p.host, p.t_start_s, p.t_end_s) == (q.host, q.t_start_s, q.t_end_s)


def _software(p: Provenance, q: Provenance) -> Iterator[Difference]:
    fields: tuple[tuple[str, str | None, str | None, Weight, str], ...] = (
        (
            "driver",
            p.driver_version,
            q.driver_version,
            "weakening",
            "a driver changes clocks, launches and libraries",
        ),
        ("cuda", p.cuda_version, q.cuda_version, "weakening", "libraries choose other kernels"),
        (
            "advisor",
            p.advisor_version,
            q.advisor_version,
            "weakening",
            "thresholds and rules may have changed",
        ),
        ("pynvml", p.pynvml_version, q.pynvml_version, "info", "reads the same counters"),
        ("python", p.python_version, q.python_version, "info", "of advisor, not of the workload"),
    )
    for code, left, right, weight, effect in fields:
        if left != right:
            yield told(code, weight, left, right, effect)


def _node(p: Provenance, q: Provenance) -> Iterator[Difference]:
    if p.host != q.host:
        yield told("node", "weakening", p.host, q.host, "CPU, disks and neighbours of the node differ too")
    if p.cores != q.cores:
        yield told("cores", "weakening", p.cores, q.cores, "a host-bound workload depends on them")


def _times(p: Provenance, q: Provenance) -> Iterator[Difference]:
    if unlike(p.interval_s, q.interval_s, tc.INTERVAL_UNLIKE.value):
        effect = "host and process figures are of other stretches of time"
        yield told("interval", "info", span(p.interval_s), span(q.interval_s), effect)
    long_a, long_b = p.t_end_s - p.t_start_s, q.t_end_s - q.t_start_s
    if unlike(long_a, long_b, tc.WINDOWS_UNLIKE.value):
        effect = "the shorter window may miss phases that the longer one has"
        yield told("window", "weakening", span(long_a), span(long_b), effect)
    if p.host == q.host and not _same_look(p, q) and p.t_start_s < q.t_end_s and q.t_start_s < p.t_end_s:
        yield told("overlap", "weakening", p.created, q.created, "the two windows share a part of their time")
    elif q.t_end_s <= p.t_start_s:
        yield told("order", "info", p.created, q.created, "B was made before A: gains read as losses")


def _chosen(p: Provenance, q: Provenance) -> Iterator[Difference]:
    chosen = [" ".join((*d.select, *(f"not {word}" for word in d.ignore))) or "every rule" for d in (p, q)]
    if chosen[0] != chosen[1]:
        effect = "findings can be missing because they were not asked for"
        yield told("rules", "weakening", chosen[0], chosen[1], effect)


def unlike(a: float, b: float, ratio: float) -> bool:
    """Whether the larger is `ratio` times the smaller or more; nothing is like nothing."""
    low, high = sorted((a, b))
    return high > 0.0 and (low <= 0.0 or high >= ratio * low)


# --- one pair of rows -----------------------------------------------------------------------------


def of_rows(
    a: Row, b: Row, looks: tuple[Diagnosis, Diagnosis], cards: bool = False
) -> tuple[Difference, ...]:
    """Differences of one pair. cards: the card model itself is what is compared, and so does not block."""
    found = [*_card(a, b, cards), *_method(a, b, looks), *_ceilings(a, b, cards), *_work(a, b)]
    found += [*_limits(a, b), *_state(a, b), *_prices(a, b, cards), *_flags(a, b, looks)]
    return ordered(found)


def _card(a: Row, b: Row, cards: bool) -> Iterator[Difference]:
    left, right = a.verdict.device_name, b.verdict.device_name
    if left != right:
        yield _other_card("model", left, right, cards, "shares of one card are not shares of the other")
    if a.profile != b.profile:
        shown = [row.profile or "a whole GPU" for row in (a, b)]
        yield _other_card("mig", shown[0], shown[1], cards, "slices of other sizes are other cards")
    if left == right and a.key != b.key:
        yield told("card", "weakening", a.key, b.key, "cards of one model differ by a few percent")


def _other_card(code: str, left: str, right: str, cards: bool, effect: str) -> Difference:
    if not cards:
        return told(code, "blocking", left, right, f"{effect}; --cards compares cards", "all")
    asked = "asked for: busy time is held against other ceilings"
    return told(code, "weakening", left, right, asked, "estimate")


def _method(a: Row, b: Row, looks: tuple[Diagnosis, Diagnosis]) -> Iterator[Difference]:
    left, right = a.verdict.tier, b.verdict.tier
    if left != right:
        effect = "one has counters, the other estimates from NVML alone"
        yield told("tier", "blocking", left, right, effect, "all")
        return
    every = [_every_s(look.provenance, left) for look in looks]
    if unlike(every[0], every[1], tc.INTERVAL_UNLIKE.value):
        effect = "a longer sub-window mixes more kinds of work into one reading"
        yield told("sub-window", "weakening", span(every[0]), span(every[1]), effect)


def _every_s(p: Provenance, tier: str) -> float:
    return p.gpm_interval_s if tier == "counters" else p.interval_s


def _ceilings(a: Row, b: Row, cards: bool) -> Iterator[Difference]:
    left, right = _ceilings_of(a), _ceilings_of(b)
    labels = [row.verdict.ceilings_label or "none" for row in (a, b)]
    shown = [_named(ceilings, label) for ceilings, label in zip((left, right), labels, strict=True)]
    moved = _moved(left, right)
    if labels[0] != labels[1] and moved != 0.0:
        effect = "fractions of roofs, useful time and waste are held against other ceilings"
        yield told("ceilings", "weakening", shown[0], shown[1], effect, "roofs", "money", "estimate")
    elif labels[0] != labels[1]:
        yield told("ceilings", "info", shown[0], shown[1], "the figures of both are the same")
    elif moved is not None and moved > tc.LIMIT_MOVED.value and not cards:
        effect = f"fractions of roofs are off by {percent(moved)} from one to the other"
        yield told("ceilings", "weakening", shown[0], shown[1], effect)
    for row in (a, b):
        if row.provenance is not None and row.provenance.ceilings_stale and labels[0] == labels[1] == "stale":
            effect = f"ceilings may no longer hold: {row.provenance.ceilings_stale}"
            yield told("ceilings-stale", "weakening", shown[0], shown[1], effect)
            return


def _ceilings_of(row: Row) -> Ceilings | None:
    return None if row.observed is None else row.observed.ceilings


def _named(ceilings: Ceilings | None, label: str) -> str:
    return label if ceilings is None else f"{label}, {ceilings.model}"


def _moved(a: Ceilings | None, b: Ceilings | None) -> float | None:
    """The largest relative difference of two readings at the ceiling; None where it cannot be told."""
    if a is None or b is None:
        return 0.0 if a is b else None
    left = {r.counter: r.frac for r in a.readings if r.frac}
    right = {r.counter: r.frac for r in b.readings if r.frac}
    if left.keys() != right.keys():
        return None
    return max((abs(right[name] / left[name] - 1.0) for name in left), default=0.0)


def _work(a: Row, b: Row) -> Iterator[Difference]:
    pipes = a.verdict.pipe, b.verdict.pipe
    if None not in pipes and pipes[0] != pipes[1]:
        effect = "another precision or kind of kernel: the same useful time is other work"
        yield told("precision", "weakening", pipes[0], pipes[1], effect, "estimate")
    if a.workload != b.workload:
        names = [row.workload or "no process seen" for row in (a, b)]
        yield told("workload", "weakening", names[0], names[1], "not the same program", "estimate")
    yield from _mix(a, b)
    counts = [0 if r.verdict.workload is None else r.verdict.workload.others + 1 for r in (a, b)]
    if counts[0] != counts[1]:
        effect = "other processes share the card"
        yield told("processes", "weakening", counts[0], counts[1], effect)


def _mix(a: Row, b: Row) -> Iterator[Difference]:
    """Work at the memory roof is other work than the same time at the compute roof."""
    at_roofs = [r.verdict.shares.get("memory", 0.0) + r.verdict.shares.get("compute", 0.0) for r in (a, b)]
    if min(at_roofs) < tc.MIX_LEAST.value:
        return
    parts = [r.verdict.shares.get("memory", 0.0) / at for r, at in zip((a, b), at_roofs, strict=True)]
    if abs(parts[0] - parts[1]) >= tc.MIX_MOVED.value:
        shown = [f"{percent(part)} at the memory roof" for part in parts]
        effect = "busy time is of another kind: a useful second is other work; give --work A=N,B=N"
        yield told("mix", "weakening", shown[0], shown[1], effect, "estimate")


def _limits(a: Row, b: Row) -> Iterator[Difference]:
    p, q = a.provenance, b.provenance
    if p is None or q is None:
        return
    if _differs(p.power_limit_w, q.power_limit_w, tc.LIMIT_MOVED.value):
        shown = [_watts(x.power_limit_w) for x in (p, q)]
        yield told("power-limit", "weakening", shown[0], shown[1], "clocks under load differ with it")
    if p.ecc_enabled != q.ecc_enabled:
        words = {True: "on", False: "off", None: None}
        effect = "ECC takes memory bandwidth on cards without HBM"
        yield told("ecc", "weakening", words[p.ecc_enabled], words[q.ecc_enabled], effect)
    if _differs(p.sm_mhz_max, q.sm_mhz_max, tc.LIMIT_MOVED.value):
        shown = [_mhz(x.sm_mhz_max) for x in (p, q)]
        yield told("clock-limit", "weakening", shown[0], shown[1], "the board's highest clock differs")


def _differs(a: float | None, b: float | None, by: float) -> bool:
    if a is None or b is None:
        return a is not b
    return unlike(a, b, 1.0 + by)


def _watts(figure: float | None) -> str | None:
    return None if figure is None else f"{number(figure)} W"


def _mhz(figure: float | None) -> str | None:
    return None if figure is None else f"{number(figure)} MHz"


def _state(a: Row, b: Row) -> Iterator[Difference]:
    yield from _settled(a, b)
    yield from _throttled(a, b)
    for name, row in (("A", a), ("B", b)):
        share = row.verdict.shares.get("unknown", 0.0)
        if share >= tc.UNKNOWN_SHARE.value:
            both = [percent(r.verdict.shares.get("unknown", 0.0)) for r in (a, b)]
            effect = f"of {percent(share)} of {name} nothing is known, which may hide any change of that size"
            yield told("unknown-share", "weakening", both[0], both[1], effect)
            return


def _settled(a: Row, b: Row) -> Iterator[Difference]:
    words: dict[Any, str | None] = {True: "settled", False: "still warming up", None: None}
    states = [None if row.provenance is None else row.provenance.thermally_settled for row in (a, b)]
    if states == [True, True] or a.verdict.class_ == b.verdict.class_ == "idle":
        return
    shown = [words[state] for state in states]
    if False in states:
        effect = "clocks fall as a card warms up: watch again once it has"
        yield told("settled", "weakening", shown[0], shown[1], effect)
    else:
        yield told("settled", "info", shown[0], shown[1], "whether the card had warmed up cannot be told")


def _throttled(a: Row, b: Row) -> Iterator[Difference]:
    if a.observed is None or b.observed is None:
        return
    held = [row.observed.evidence.throttle_frac for row in (a, b) if row.observed is not None]
    for reason in sorted({*held[0], *held[1]} - _NO_THROTTLE):
        left, right = held[0].get(reason, 0.0), held[1].get(reason, 0.0)
        if abs(left - right) >= tc.THROTTLE_MOVED.value:
            effect = f"held back by {reason} for another part of the time: clocks differ"
            yield told("throttle", "weakening", percent(left), percent(right), effect)


def _prices(a: Row, b: Row, cards: bool) -> Iterator[Difference]:
    left, right = (
        (None, "") if r.ladder is None else (r.ladder.price_usd_h, r.ladder.price_source) for r in (a, b)
    )
    if left == right or (left[0] is None and right[0] is None):
        return
    shown = ["no price" if usd is None else f"${usd:,.2f}/h" for usd, _ in (left, right)]
    if left[0] is None or right[0] is None or left[0] == right[0]:
        yield told("price", "info", shown[0], shown[1], "whose price it is differs")
    elif cards:
        yield told("price", "info", shown[0], shown[1], "each card at its own price")
    else:
        effect = "dollars differ by the price alone; give both the same --price"
        yield told("price", "weakening", shown[0], shown[1], effect, "money")


def _flags(a: Row, b: Row, looks: tuple[Diagnosis, Diagnosis]) -> Iterator[Difference]:
    """Flags of either document that weaken it."""
    codes = [_weak(look, row.key) for look, row in zip(looks, (a, b), strict=True)]
    for code in dict.fromkeys((*codes[0], *codes[1])):
        has = ["yes" if code in found else "no" for found in codes]
        which = " and ".join(name for name, word in zip("AB", has, strict=True) if word == "yes")
        yield told(code, "weakening", has[0], has[1], f"{which}: {_WEAK_FLAGS[code]}")


def _weak(look: Diagnosis, key: str) -> Sequence[str]:
    return [f.code for f in look.flags if f.code in _WEAK_FLAGS and f.key in (None, key)]


def refused_by(differences: Iterable[Difference]) -> dict[Group, str]:
    """Group of figures -> why no change of it is given."""
    found: dict[Group, list[str]] = {}
    for d in differences:
        for group in d.refuses:
            found.setdefault(group, []).append(f"{d.code} differs ({d.a} -> {d.b}): {d.effect}")
    return {group: "; ".join(reasons) for group, reasons in found.items()}
