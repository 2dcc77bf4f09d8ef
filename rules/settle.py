"""Settle: what measurement would settle a verdict that is unknown or narrow, with its command."""

from __future__ import annotations

import math

from probes.ceilings import Ceilings
from rules.evidence import Evidence
from rules.headline import CONTRADICTION, EITHER
from rules.noise import Noise
from rules.observed import visible
from rules.thresholds import HOST_FIRST, NOISE_FLOOR
from rules.trust import label_of
from rules.verdict import Class

_LONGEST_S = 600
_STEP_S = 10


def within_noise(class_: Class, shares: dict[Class, float], noise: Noise) -> str:
    """Both candidates, and why neither is named: "compute-bound or memory-bound, 0.48/0.46 ..."."""
    of_ceilings = noise.turned is not None and noise.ceilings > noise.chance
    rival = _rival(class_, shares, noise.turned if of_ceilings else noise.against)
    both = f"{EITHER[class_]} or {EITHER[rival]}, {shares[class_]:.2f}/{shares[rival]:.2f} of the time"
    if of_ceilings:
        return f"{both}: within the ±{noise.shown:.2f} that the ceilings and the model leave"
    if noise.against is None:
        stands = f"the host's {shares['host']:.2f} against {HOST_FIRST.value:.2f}, from which it comes first,"
    else:
        stands = f"the lead of {noise.lead:.2f}"
    return f"{both}: {stands} is within the noise of ±{noise.shown:.2f}"


def _rival(class_: Class, shares: dict[Class, float], against: Class | None) -> Class:
    """The other candidate; where the host gap's threshold decides, the host or what it comes before."""
    if against is not None:
        return against
    return "host" if class_ != "host" else max((c for c in shares if c != "host"), key=lambda c: shares[c])


def settle(
    class_: Class, cause: str, evidence: Evidence, ceilings: Ceilings | None, noise: Noise | None
) -> tuple[str, ...]:
    """Sentences for an unknown verdict, or for a host gap without a cause; most telling first."""
    if class_ == "host" and cause == "unattributed" and not visible(evidence.host):
        return ("run advisor where the process is visible: on the host, or with its process ids shared",)
    if class_ == "host" and cause == "unattributed":
        return (f"`advisor diagnose --gpu {_device(evidence)} --stacks` samples what the threads do",)
    if class_ != "unknown":
        return ()
    if cause == "no-data":
        return ("watch for 30 s (`advisor diagnose --duration 30s`)",)
    if cause == "missing-counters":
        return (*_probe(evidence, ceilings), *_counters(evidence))
    if cause == CONTRADICTION:
        return (
            "`nsys profile -t cuda COMMAND` shows whether kernels run at all; if they do, look for what else "
            "reads or holds the counters (`dcgmi`, a profiler)",
        )
    if noise is None:
        return ("`advisor doctor` says what the driver and this program can reach",)
    return _of_noise(evidence, ceilings, noise)


def _of_noise(evidence: Evidence, ceilings: Ceilings | None, noise: Noise) -> tuple[str, ...]:
    found: list[str] = []
    if noise.ceilings > 0.0:
        found += _counters(evidence) if evidence.tier == "nvml" else _probe(evidence, ceilings)
    longer = _longer(evidence, noise)
    if noise.chance >= noise.ceilings:
        return (*longer, *found)
    return (*found, *longer) if noise.chance > 0.0 else tuple(found)


def _longer(evidence: Evidence, noise: Noise) -> tuple[str, ...]:
    """How long to watch until the error by chance falls to half the lead: it falls with the root of time.

    A lead as small as what any counter may be off by stays open however long it is watched.
    """
    if abs(noise.lead) <= NOISE_FLOOR.value:
        return ("both matter about as much: a fix for either helps",)
    watched_s = evidence.t_end_s - evidence.t_start_s
    needed_s = watched_s * (2.0 * noise.chance / abs(noise.lead)) ** 2
    seconds = max(2 * _STEP_S, math.ceil(max(needed_s, watched_s) / _STEP_S) * _STEP_S)
    if seconds > _LONGEST_S:
        command = f"`advisor diagnose --duration {_LONGEST_S}s`"
        return (f"both matter about as much: a fix for either helps; {command} would tell more",)
    return (f"watch for {seconds} s (`advisor diagnose --duration {seconds}s`)",)


def _probe(evidence: Evidence, ceilings: Ceilings | None) -> tuple[str, ...]:
    command = f"`advisor probe --device {_device(evidence)}`"
    if label_of(ceilings) == "measured":
        return ("`ncu --set basic` tells kernel by kernel: the mean stands too near to a threshold",)
    return (f"{command} while it is idle, so that ceilings are measured",)


def _counters(evidence: Evidence) -> tuple[str, ...]:
    if evidence.tier != "nvml":
        return ()
    why = evidence.missing.get("gpm")
    said = f" ({why})" if why else ""
    return (f"GPM counters tell the roofs apart: Hopper or newer, with a driver that serves them{said}",)


def _device(evidence: Evidence) -> str:
    return evidence.key if evidence.mig else str(evidence.gpu)
