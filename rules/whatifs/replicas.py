"""Fewer replicas: several servers of one model that each run few requests become fewer that run many."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rules import thresholds as th
from rules.servers import is_server
from rules.whatifs.anchors import CURVE_SOURCE, curve_requests, curve_step_s, curve_tok_s
from rules.whatifs.case import Case
from rules.whatifs.registry import Answer, Draft, Refused, fix


class _Load(msgspec.Struct, frozen=True):
    """What one replica said of its requests; None where it did not."""

    running: float | None
    waiting: float | None
    kv_use_frac: float | None


@fix(
    "replicas",
    "Serve the same with fewer replicas",
    codes=("SERVE002", "SERVE005", "HOST009"),
    apart=("release", "smaller-gpu", "larger-gpu", "batch"),
)
def replicas(case: Case) -> Answer:
    """Traffic of starved replicas on this node goes to fewer of them; the other GPUs are released.

    As many stay as hold all requests and their KV within 0.9 of a cache and the knee of the published curve;
    the low end keeps one more. Tokens take longer as the batch grows, so that requests stay longer and more
    of them are held at once (Little's law), and the objective has to allow it.
    """
    if not case.replicas or not is_server(case.evidence):
        return None
    own = case.serving
    loads = [_Load(r.running, r.waiting, r.kv_use_frac) for r in case.replicas]
    loads.append(_Load(own.running, own.waiting, own.kv_use_frac) if own else _Load(None, None, None))
    known = [(r.running, r.kv_use_frac) for r in loads if r.running is not None and r.kv_use_frac is not None]
    if len(known) < len(loads):
        return Refused(
            f"{len(loads)} GPUs of this node serve the same; how many requests each runs at once, and how "
            "much of its KV cache they use, is not known of all: `advisor serving` reads it"
        )
    if not all(running < th.FEW_RUNNING.value and kv < th.KV_ROOM.value for running, kv in known):
        return None
    if any(r.waiting is not None and r.waiting >= th.WAITING.value for r in loads):
        return None
    return _draft(known, all(r.waiting is not None for r in loads))


def _held(known: Sequence[tuple[float, float]], count: int) -> float | None:
    """Requests at once on each of so few replicas, by the curve; None where they or their KV do not fit.

    All tokens a second that are asked for go on being made, so that each replica makes its part of them.
    """
    running, kv = sum(r for r, _ in known), sum(k for _, k in known)
    held = curve_requests(sum(curve_tok_s(r) for r, _ in known) / count)
    if held is None:
        return None
    kv_held = kv / count if running <= 0.0 else max(kv / count, kv / running * held)
    return held if kv_held <= th.KV_FULL.value else None


def _draft(known: Sequence[tuple[float, float]], queues_known: bool) -> Answer:
    count = len(known)
    need = next((n for n in range(1, count) if _held(known, n) is not None), None)
    if need is None:
        return None
    running = sum(r for r, _ in known)
    slower = curve_step_s(_held(known, need) or 0.0) / curve_step_s(running / count)
    return Draft(
        levers=(),
        basis="anchor",
        how=f"what {running:.0f} requests at once ask for fits {need} of {count} replicas, along "
        f"{CURVE_SOURCE}; the low end keeps {need + 1}",
        title=f"Serve the same with {need} of {count} replicas",
        assumes=(
            f"The objective allows {slower:.1f} times as long between tokens.",
            "Your model follows the curve of an 8B one; a larger one bends earlier.",
            "Peaks are no higher than what was seen; replicas are not needed for failover.",
            *(() if queues_known else ("No request waits at any of them; not every one says.",)),
            "The $ are this GPU's part: each replica's bill falls by the same factor.",
        ),
        actions=("Send all traffic to fewer replicas and release the other GPUs.",),
        price_low=need / count,
        price_high=(need + 1) / count,
    )
