"""Rules for a GPU that fails: lost, silent, or with errors of its own, its memory or its link."""

from __future__ import annotations

from collections import Counter

import msgspec

from rules import thresholds as th
from rules import xids
from rules.catalogue.common import at_least, item, place
from rules.evidence import Device, Evidence
from rules.finding import Finding, Severity
from rules.registry import Context, finding, rule


@rule("DEV005", "GPU is lost, or its driver does not answer", "critical", "fleet", "fact", term="unknown")
def lost(ctx: Context) -> Finding | None:
    """The driver has lost the GPU, or calls to it do not return.

    **What it detects**
    NVML reports the device as lost, or a call into the driver has not returned within its deadline.

    **Why it costs**
    Nothing runs on it until it is reset, and a job that spans it usually hangs.

    **How to tell it apart**
    One lost GPU is its own fault or its slot's; all GPUs silent at once point to the driver or the node. A
    sampler that was stopped or crashed is not the GPU's fault: the report flags that and makes no finding.

    **What to do**
    Read the kernel log for XID messages, stop what uses the GPU, reset or reboot, and have it replaced when
    it returns.

    **Evidence**
    Return codes of NVML, seconds since the last answer.

    **Source**
    - NVML: NVML_ERROR_GPU_IS_LOST; XID 79, the GPU has fallen off the bus
    """
    reason, silent_s = ctx.evidence.lost_reason, _driver_silent_s(ctx.evidence)
    if reason is None and silent_s is None:
        return None
    state = "is lost" if reason is not None else f"has not answered for {silent_s or 0.0:.0f} s"
    return finding(
        ctx,
        lost,
        claim=f"{place(ctx)} {state}{'' if reason is None else f': {reason}'}.",
        # Nothing is known of it for that part of the time so far; from now on it is all of the price.
        share=ctx.verdict.shares.get("unknown", 1.0),
        evidence=(
            item("NVML says", reason or "no answer", "", source="NVML"),
            item("silent for", silent_s, "s", source="sampler"),
        ),
        actions=(
            "`sudo dmesg -T | grep -i -e xid -e nvrm` names the fault.",
            f"Stop what uses it; `sudo nvidia-smi --gpu-reset -i {ctx.evidence.gpu}`, or reboot the node.",
        ),
        severity="critical",
    )


def _driver_silent_s(evidence: Evidence) -> float | None:
    """Seconds for which the driver has not answered; None when it answers, or the sampler is to blame."""
    if evidence.silent_since_s is None or evidence.silent_blame != "driver":
        return None
    silent_s = evidence.t_end_s - evidence.silent_since_s
    return silent_s if silent_s >= th.DRIVER_SILENT_S.value else None


@rule("DEV006", "Memory errors need attention", "critical", "fleet", "fact")
def memory_errors(ctx: Context) -> Finding | None:
    """Device memory has had uncorrected errors, or waits for a reset to map them out.

    **What it detects**
    Uncorrected ECC errors, a row remapping that is pending, or one that failed.

    **Why it costs**
    An uncorrected error ends the job that meets it, and with it the work since the last checkpoint.

    **How to tell it apart**
    Pending: the spare row is used after the next reset, the card is then sound. Failed: no spare row is left,
    the card has to be replaced.

    **What to do**
    Drain the GPU, reset it, run `dcgmi diag -r 3`, and return it when remapping failed.

    **Evidence**
    ECC counters and the state of row remapping (NVML).

    **Source**
    - NVIDIA GPU memory error management: row remapping, pending and failure flags
    """
    device = ctx.evidence.device
    severity = _severity(device)
    if severity is None:
        return None
    return finding(
        ctx,
        memory_errors,
        claim=f"{place(ctx)} {_state(device)}.",
        share=0.0,
        evidence=(
            item("uncorrected ECC errors", device.ecc_uncorrected, "count", "> 0", "NVML"),
            item("row remapping pending", _word(device.remap_pending), "", source="NVML"),
            item("row remapping failed", _word(device.remap_failure), "", source="NVML"),
        ),
        actions=(
            f"Drain it, then `sudo nvidia-smi --gpu-reset -i {ctx.evidence.gpu}` applies pending remaps.",
            "`dcgmi diag -r 3` tests the memory; a failed remap means replacement.",
        ),
        severity=severity,
    )


def _severity(device: Device) -> Severity | None:
    if device.remap_failure:
        return "critical"
    if device.ecc_uncorrected:
        return "high"
    return "medium" if device.remap_pending else None


def _state(device: Device) -> str:
    if device.remap_failure:
        return "has no spare memory rows left: a row remapping failed"
    if device.ecc_uncorrected:
        return f"has had {device.ecc_uncorrected} uncorrected memory errors since the driver was loaded"
    return "waits for a reset to map out a bad memory row"


def _word(flag: bool | None) -> str | None:
    return None if flag is None else ("yes" if flag else "no")


_XID_ACTIONS: dict[xids.Kind, str] = {
    "program": "Run the program under `compute-sanitizer`: it finds accesses out of bounds. If other programs"
    " meet the error on this card too, have the card tested.",
    "memory": "Drain the GPU and reset it, so that bad rows are mapped out; test it with `dcgmi diag -r 3`.",
    "reset": "Stop what uses the GPU and reset it; if that comes back, update the driver.",
    "link": "`nvidia-smi nvlink -e` shows which link it is; reset both GPUs, have the link checked.",
    "card": "Drain the node and reboot it; reseat card and power cables; replace it if that comes back.",
    "trace": "Look for the XID that came before it in the kernel log.",
    "unlisted": "Look it up in NVIDIA's catalogue.",
}


@rule("DEV012", "The driver reported errors (XID)", "critical", "fleet", "fact")
def xid_reported(ctx: Context) -> Finding | None:
    """The driver reported errors of this GPU while it was watched.

    **What it detects**
    XID events of the driver within the window. Errors from before the watch began are in the kernel log
    alone.

    **Why it costs**
    Most XIDs end the program that met them; some leave the GPU unusable until it is reset or replaced.

    **How to tell it apart**
    The number tells. 13, 31, 43 and 69 are faults of the program as a rule. 48, 64, 92, 94, 95 and 140 are of
    device memory, 63 and 94 being dealt with already. 74 and 144 to 150 are of NVLink, and the other end may
    be at fault. 46, 62, 109, 119, 120 and 143 ask for a reset. 79 and 54 are of card, slot or power. 45 and
    154 repeat what another one says.

    **What to do**
    By kind: mend the program; or drain, reset, test with `dcgmi diag`; or have card or link replaced.

    **Evidence**
    Events of the driver (NVML, nvmlEventTypeXidCriticalError).

    **Source**
    - NVIDIA Xid catalogue: https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html
    """
    numbers = ctx.evidence.device.xids
    if not numbers:
        return None
    worst, counts = xids.gravest(numbers), Counter(numbers)
    often = _times(counts[worst.number])
    more = f"; and {len(numbers) - counts[worst.number]} more" if len(counts) > 1 else ""
    found = finding(
        ctx,
        xid_reported,
        claim=f"{place(ctx)} reported XID {worst.number}: {worst.meaning}{often}{more}.",
        share=0.0,
        evidence=tuple(
            item(f"XID {number}", xids.known(number).meaning + _times(count), "", source="NVML events")
            for number, count in counts.most_common(8)
        ),
        actions=(
            _XID_ACTIONS[worst.kind],
            "`sudo dmesg -T | grep -i xid` names process and address.",
            f"`sudo nvidia-smi --gpu-reset -i {ctx.evidence.gpu}` resets it, once nothing uses it."
            if worst.number in xids.CRITICAL
            else f"What each number means: {xids.CATALOGUE_URL}",
        ),
        severity=_xid_severity(worst),
    )
    return msgspec.structs.replace(found, owner="job") if worst.kind == "program" else found


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


def _xid_severity(worst: xids.Xid) -> Severity:
    if worst.number in xids.CRITICAL:
        return "critical"
    if worst.number in xids.MILD:
        return "low"
    return "medium" if worst.kind in ("program", "unlisted") else "high"


def _minutes(evidence: Evidence) -> float:
    """Length of the window; a shorter one than a minute counts as one, so that few events make no rate."""
    return max(1.0, (evidence.t_end_s - evidence.t_start_s) / 60.0)


@rule("DEV013", "PCIe link repeats packets", "medium", "fleet", "fact")
def pcie_replays(ctx: Context) -> Finding | None:
    """Packets between GPU and host arrive damaged and are sent again.

    **What it detects**
    The replay counter grew by more than 8 a minute within the window.

    **Why it costs**
    Each replay delays what is behind it. The time lost is small; a link that does this is on its way to fewer
    lanes, a lower generation (DEV004), or XID 79.

    **How to tell it apart**
    A few since boot are normal; a count that grows under load is not.

    **What to do**
    Reseat card, riser and cables, check the slot; exchange two cards to see whether card or slot is at fault.

    **Evidence**
    PCIe replay counter (NVML).

    **Source**
    - DCGM health checks: more than 8 replays a minute (DCGM_LIMIT_MAX_PCIREPLAY_RATE)
    """
    grown = ctx.evidence.device.pcie_replays
    if grown is None or grown <= th.PCIE_REPLAYS_MIN.value * _minutes(ctx.evidence):
        return None
    return finding(
        ctx,
        pcie_replays,
        claim=f"{place(ctx)} had {grown} packets on its PCIe link sent again while it was watched.",
        share=0.0,
        evidence=(
            item(
                "PCIe replays in the window",
                grown,
                "count",
                f"> {th.PCIE_REPLAYS_MIN.value:g} a minute",
                "NVML",
            ),
        ),
        actions=(
            "`nvidia-smi --query-gpu=pcie.link.gen.current,pcie.link.width.current --format=csv` under load.",
            "Reseat card and riser; `sudo dmesg -T | grep -i -e aer -e pcieport` shows errors of the port.",
        ),
        severity="medium",
    )


@rule("DEV014", "Corrected memory errors grow", "medium", "fleet", "fact")
def corrected_errors(ctx: Context) -> Finding | None:
    """Device memory had errors that ECC corrected while it was watched.

    **What it detects**
    The count of corrected errors grew within the window; from 10 a minute on it is more than a mention.

    **Why it costs**
    Nothing yet: no data was wrong. A row that errs often is likely to fail for good, which ends a job.

    **How to tell it apart**
    Errors that were not corrected, and rows that wait to be replaced or could not be, are DEV006.

    **What to do**
    Watch it; when it goes on, drain the GPU and test its memory before a long job starts there.

    **Evidence**
    Corrected errors and remapped rows (NVML).

    **Source**
    - NVIDIA GPU memory error management: https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/
    """
    device = ctx.evidence.device
    if not device.ecc_corrected:
        return None
    often = device.ecc_corrected >= th.ECC_CORRECTED_MIN.value * _minutes(ctx.evidence)
    return finding(
        ctx,
        corrected_errors,
        claim=f"{place(ctx)} had {device.ecc_corrected} memory errors while watched; all were corrected.",
        share=0.0,
        evidence=(
            item("corrected errors in the window", device.ecc_corrected, "count", "> 0", "NVML"),
            item(
                "a rate that counts",
                "yes" if often else "no",
                "",
                f"{at_least(th.ECC_CORRECTED_MIN)} a minute",
                "NVML",
            ),
            item("memory rows replaced so far", device.remapped_rows, "count", source="NVML"),
        ),
        actions=(
            f"`nvidia-smi -q -d ECC,ROW_REMAPPER -i {ctx.evidence.gpu}` shows where and how many.",
            "`dcgmi diag -r 3` once it is drained, if it goes on.",
        ),
        severity="medium" if often else "low",
    )
