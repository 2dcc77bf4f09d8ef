"""Rules for a GPU that fails: lost, silent, or with memory errors."""

from __future__ import annotations

from rules import thresholds as th
from rules.catalogue.common import item, place
from rules.evidence import Device, Evidence
from rules.finding import Finding, Severity
from rules.registry import Context, finding, rule


@rule("DEV005", "GPU is lost, or its driver does not answer", "critical", "fleet", "fact")
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
        # The ladder counts what was lost so far; from now on it is all of the price.
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
