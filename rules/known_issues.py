"""Versions known to hurt: driver ranges in which something is reported to go wrong, each with its source.

Only what can be looked up is listed. A range ends before the version that is said to mend it; where none is
said to, it ends with the last version that is reported to fail.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rules.finding import Severity


class Issue(NamedTuple):
    """One known fault. first and below: driver versions, `below` not included. models: words of the card's
    name, none for all. several: it takes more than one GPU in a node."""

    slug: str
    first: str
    below: str
    what: str
    symptom: str
    action: str
    source: str
    severity: Severity
    models: tuple[str, ...] = ()
    several: bool = False


ISSUES: tuple[Issue, ...] = (
    Issue(
        slug="gsp-timeout",
        first="525.53",
        below="525.105.17",
        what="calls to the GPU's system processor (GSP) can time out",
        symptom="XID 119, a GPU that stops answering until it is reset",
        action="Update to 525.105.17 or a newer branch.",
        source="https://github.com/NVIDIA/open-gpu-kernel-modules/issues/446 (quotes NVIDIA's release notes)",
        severity="medium",
    ),
    Issue(
        slug="process-lists",
        first="535.54.03",
        below="535.104.05",
        what="NVML gives programs wrong or empty lists of the processes on a GPU",
        symptom="monitors, advisor among them, miss processes or show them with another's memory",
        action="Update to 535.104.05 or newer.",
        source="https://github.com/XuehaiPan/nvitop/issues/88, https://github.com/wookayin/gpustat/issues/157",
        severity="low",
    ),
    Issue(
        slug="nccl-peer-hang",
        first="560.28.03",
        below="561",
        what="NCCL is reported to hang at times with direct copies between GPUs",
        symptom="collectives that never end, with every GPU busy",
        action="Update to a branch after 560; until then `NCCL_P2P_DISABLE=1` avoids it, at a price.",
        source="https://github.com/dmlc/xgboost/issues/11242",
        severity="low",
        several=True,
    ),
    Issue(
        slug="b200-uptime",
        first="570.133.20",
        below="580.105.09",
        what="with the open kernel modules, calls to the driver hang after 66 days of uptime",
        symptom="`nvidia-smi` and new CUDA programs hang, running ones go on",
        action="Reboot within 66 days, until a newer driver is known to mend it.",
        source="https://github.com/NVIDIA/open-gpu-kernel-modules/issues/971",
        severity="low",
        models=("B200",),
    ),
)


def version(text: str) -> tuple[int, ...]:
    """ "535.104.05" -> (535, 104, 5); what is no number ends it."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def issues_of(driver: str, model: str, gpus: int) -> tuple[Issue, ...]:
    """Known faults of this driver on this card, in a node of so many GPUs."""
    running = version(driver)
    return tuple(one for one in ISSUES if running and _concerns(one, running, model, gpus))


def _concerns(issue: Issue, running: tuple[int, ...], model: str, gpus: int) -> bool:
    if issue.several and gpus < 2:
        return False
    if issue.models and not any(word in model.split() for word in issue.models):
        return False
    return version(issue.first) <= running < version(issue.below)
