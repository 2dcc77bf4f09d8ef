"""Fewer replicas: several servers of one model that each run few requests become fewer that run many."""

from __future__ import annotations

import math

from rules import thresholds as th
from rules.servers import is_server
from rules.whatifs.anchors import CURVE_SOURCE, KNEE, curve_step_s
from rules.whatifs.case import Case
from rules.whatifs.registry import Answer, Draft, Refused, fix


@fix("replicas", "Serve the same with fewer replicas", codes=("SERVE002", "SERVE005", "HOST009"))
def replicas(case: Case) -> Answer:
    """Traffic of starved replicas on this node goes to fewer of them; the other GPUs are released.

    As many stay as hold all requests and their KV within 0.9 of a cache and the knee of the published curve;
    the low end keeps one more. Tokens take longer as the batch grows, which the objective has to allow.
    """
    others = case.replicas
    if not others or not is_server(case.evidence):
        return None
    loads = [(r.running, r.kv_use_frac) for r in others]
    own = case.serving
    loads.append((own.running, own.kv_use_frac) if own is not None else (None, None))
    known = [(running, kv or 0.0) for running, kv in loads if running is not None]
    count = len(loads)
    if len(known) < count:
        return Refused(
            f"{count} GPUs of this node serve the same; how many requests each runs at once is not known: "
            "`advisor serving` reads it"
        )
    if not all(running < th.FEW_RUNNING.value and kv < th.KV_ROOM.value for running, kv in known):
        return None
    if own is not None and (own.waiting or 0.0) >= th.WAITING.value:
        return None
    return _draft(known, count)


def _draft(known: list[tuple[float, float]], count: int) -> Answer:
    running, kv = sum(r for r, _ in known), sum(k for _, k in known)
    need = max(1, math.ceil(max(running / KNEE, kv / th.KV_FULL.value)))
    if need >= count:
        return None
    spare = min(count, need + 1)
    slower = curve_step_s(running / need) / curve_step_s(running / count)
    return Draft(
        levers=(),
        basis="anchor",
        how=f"{running:.0f} requests at once fit {need} of {count} replicas, along {CURVE_SOURCE}; the low "
        f"end keeps {spare}",
        title=f"Serve the same with {need} of {count} replicas",
        assumes=(
            f"The objective allows {slower:.1f} times as long between tokens.",
            "Peaks are no higher than what was seen; replicas are not needed for failover.",
            "The $ are this GPU's part: each replica's bill falls by the same factor.",
        ),
        actions=("Send all traffic to fewer replicas and release the other GPUs.",),
        price_low=need / count,
        price_high=spare / count,
    )
