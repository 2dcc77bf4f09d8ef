"""Typed builders of records for tests: sensible defaults, every field can be replaced by name.

Figures here are invented and stand for no card; documents made here are marked synthetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from advisor.document import DeviceProvenance, Diagnosis, Provenance, Totals
from advisor.snapshot import DeviceView, HistoryPoint, Snapshot
from advisor.telemetry.records import DeviceInfo, Gpm, Hello, HostInfo, HostSample, ProcessSample, Sample
from probes.ceilings import Ceiling, Ceilings, Label, Reading
from rules.evidence import Workload
from rules.finding import TERMS, Effect, Finding, LadderRow
from rules.headline import headline
from rules.registry import all_rules
from rules.verdict import SHARES, Class, EvidenceItem, Margin, Verdict

GIB = 1024**3
T0_S = 1_700_000_000.0
DEVICE_NAME = "NVIDIA Simulated X100 80GB"
PRICE_SOURCE = "example-cloud x100.8xlarge / 8, on-demand, us-1, 2026-04"

_SHARES: dict[Class, dict[str, float]] = {
    "compute": {"compute": 0.86, "memory": 0.06, "host": 0.08},
    "memory": {"memory": 0.78, "compute": 0.05, "device": 0.08, "host": 0.09},
    "host": {"host": 0.38, "memory": 0.30, "device": 0.20, "compute": 0.12},
    "communication": {"communication": 0.55, "compute": 0.35, "host": 0.10},
    "device": {"device": 0.81, "memory": 0.10, "host": 0.09},
    "idle": {"idle_held": 1.0},
    "unknown": {"unknown": 1.0},
}
_CAUSES: dict[Class, str] = {
    "compute": "tensor-cores",
    "memory": "dram-bandwidth",
    "host": "input-pipeline",
    "communication": "interconnect",
    "device": "low-occupancy",
    "idle": "idle-held",
    "unknown": "missing-counters",
}


def device_key(gpu: int, mig: str | None = None) -> str:
    """The key tests use for a GPU or MIG instance."""
    stem = f"GPU-{gpu:08x}-0000-4000-8000-000000000000"
    return stem if mig is None else f"MIG-{gpu:08x}-{mig.replace('/', '-')}"


def fill(names: Iterable[str], values: dict[str, float]) -> dict[str, float]:
    """Every name in order, 0.0 where `values` has none."""
    return {name: values.get(name, 0.0) for name in names}


def make_workload(name: str = "train_vit.py", *, pid: int = 81234, **changes: Any) -> Workload:
    """A job of one process."""
    return msgspec.structs.replace(Workload(pid=pid, name=name, user="alice", job="slurm:4711"), **changes)


def make_evidence_item(metric: str = "time with nothing running", **changes: Any) -> EvidenceItem:
    """One evidence line over its threshold."""
    item = EvidenceItem(
        metric=metric,
        value=0.38,
        unit="frac",
        threshold="> 0.15",
        source="GPM gr_active, 300 sub-windows of 200 ms",
    )
    return msgspec.structs.replace(item, **changes)


def make_verdict(class_: Class = "host", *, gpu: int = 0, mig: str | None = None, **changes: Any) -> Verdict:
    """A verdict of this class with shares that fit it and sum to 1."""
    verdict = Verdict(
        key=device_key(gpu, mig),
        gpu=gpu,
        mig=mig,
        device_name=DEVICE_NAME,
        workload=make_workload(),
        class_=class_,
        cause=_CAUSES[class_],
        confidence=0.0 if class_ == "unknown" else 0.94,
        tier="counters",
        shares=fill(SHARES, _SHARES[class_]),
        evidence=(make_evidence_item(),),
        margins=(Margin(name="gr_active", value=0.38, threshold=0.15, margin=0.23),),
        dram_roof_frac=0.61,
        pipe_roof_frac=0.22,
        pipe="tensor",
        useful_frac=0.35,
        ceilings_label="assumed",
        unknown_because=("no GPM on this driver",) if class_ == "unknown" else (),
    )
    changed = msgspec.structs.replace(verdict, **changes)
    return changed if changed.headline else msgspec.structs.replace(changed, headline=headline(changed))


def ladder_shares(verdict: Verdict, efficiency: float = 0.6) -> dict[str, float]:
    """The ladder's shares for a verdict: `efficiency` of the roof-bound time counts as useful."""
    shares = verdict.shares
    roof = shares["memory"] + shares["compute"]
    terms = {
        "free": shares["free"],
        "idle_held": shares["idle_held"],
        "host_gap": shares["host"],
        "communication": shares["communication"],
        "throttle": shares["throttle"],
        "inefficiency": shares["device"] + roof * (1 - efficiency),
        "useful": roof * efficiency,
        "unknown": shares["unknown"],
    }
    return fill(TERMS, terms)


def make_ladder(
    verdict: Verdict | None = None, *, price_usd_h: float | None = 6.88, **changes: Any
) -> LadderRow:
    """The ladder row of a verdict, priced unless `price_usd_h` is None."""
    verdict = make_verdict() if verdict is None else verdict
    shares = ladder_shares(verdict)
    wasted = 1 - shares["useful"] - shares["unknown"]
    row = LadderRow(
        key=verdict.key,
        gpu=verdict.gpu,
        mig=verdict.mig,
        price_usd_h=price_usd_h,
        basis="none" if price_usd_h is None else "bundled",
        price_source="" if price_usd_h is None else PRICE_SOURCE,
        shares=shares,
        terms=None if price_usd_h is None else {k: v * price_usd_h for k, v in shares.items()},
        wasted_usd_h=None if price_usd_h is None else wasted * price_usd_h,
    )
    return msgspec.structs.replace(row, **changes)


def make_effect(low: float = 1.4, high: float = 1.6, **changes: Any) -> Effect:
    """A range below its bound."""
    effect = Effect(
        low=low, high=high, bound=1.61, basis="bound 1/(1-0.38) = 1.61x; low assumes half removed"
    )
    return msgspec.structs.replace(effect, **changes)


def make_finding(
    code: str = "HOST003", *, gpu: int = 0, mig: str | None = None, usd_h: float | None = 2.61, **changes: Any
) -> Finding:
    """A finding of the input pipeline with everything filled in."""
    finding = Finding(
        code=code,
        title="the input pipeline is CPU-bound",
        severity="high",
        gpu=gpu,
        key=device_key(gpu, mig),
        mig=mig,
        claim="The GPU waited 38 % of the time while 8 of 8 loader workers used a whole core each.",
        confidence=0.94,
        share=0.38,
        why="Every second without a batch is paid for and does nothing.",
        evidence=(
            make_evidence_item(),
            make_evidence_item(
                "loader workers at a full core", value=8.0, unit="count", threshold="> 6", source="/proc, 5 s"
            ),
        ),
        actions=("Set `num_workers=14`.", "Or decode on the GPU (nvJPEG, DALI)."),
        effect=make_effect(),
        usd_h=usd_h,
        references=("docs/rules/HOST003.md",),
        term=next((rule.term for rule in all_rules() if rule.code == code), None),
    )
    return msgspec.structs.replace(finding, **changes)


def make_device_provenance(verdict: Verdict | None = None, **changes: Any) -> DeviceProvenance:
    """How a verdict's row was observed."""
    verdict = make_verdict() if verdict is None else verdict
    device = DeviceProvenance(
        key=verdict.key,
        gpu=verdict.gpu,
        mig=verdict.mig,
        name=verdict.device_name,
        tier=verdict.tier,
        windows=300,
        observed_s=60.0,
        ceilings_label="assumed",
        ceilings_model="X100 80GB",
        power_limit_w=700.0,
        power_w_p50=291.0,
        power_w_p90=402.0,
        sm_mhz_p50=1755.0,
        sm_mhz_max=1980.0,
        temp_c_max=61.0,
        mem_used_bytes=40 * GIB,
        mem_total_bytes=80 * GIB,
        ecc_enabled=True,
        thermally_settled=True,
    )
    return msgspec.structs.replace(device, **changes)


def make_provenance(verdicts: Iterable[Verdict] = (), **changes: Any) -> Provenance:
    """One minute of watching, marked synthetic."""
    provenance = Provenance(
        advisor_version="0.1.0",
        created="2026-04-01T14:02:31Z",
        source="live",
        host="host-7f3a9c21",
        t_start_s=T0_S,
        t_end_s=T0_S + 60.0,
        interval_s=1.0,
        gpm_interval_s=0.2,
        driver_version="580.159",
        cuda_version="13.0",
        pynvml_version="13.580.65",
        python_version="3.11.9",
        cores=16,
        command="advisor diagnose --duration 60s",
        note="simulated NVML library",
        synthetic=True,
        devices=tuple(make_device_provenance(v) for v in verdicts),
        redacted=("host name -> stable hash",),
    )
    return msgspec.structs.replace(provenance, **changes)


def make_totals(ladder: Iterable[LadderRow]) -> Totals:
    """The node's sums over the rows that have a price."""
    rows = list(ladder)
    priced = [row for row in rows if row.terms is not None]
    unpriced = len(rows) - len(priced)
    if not priced:
        return Totals(price_usd_h=None, wasted_usd_h=None, unpriced=unpriced)
    terms = {term: math.fsum((row.terms or {}).get(term, 0.0) for row in priced) for term in TERMS}
    return Totals(
        price_usd_h=math.fsum(row.price_usd_h or 0.0 for row in priced),
        wasted_usd_h=math.fsum(row.wasted_usd_h or 0.0 for row in priced),
        terms=terms,
        unpriced=unpriced,
    )


def make_diagnosis(
    *classes: Class,
    verdicts: Iterable[Verdict] | None = None,
    findings: Iterable[Finding] | None = None,
    price_usd_h: float | None = 6.88,
    **changes: Any,
) -> Diagnosis:
    """A document of one GPU per class given (one host-bound GPU by default), with its ladder and totals."""
    made = tuple(make_verdict(c, gpu=i) for i, c in enumerate(classes or ("host",)))
    made = made if verdicts is None else tuple(verdicts)
    ladder = tuple(make_ladder(v, price_usd_h=price_usd_h) for v in made)
    default = tuple(
        make_finding(gpu=v.gpu, mig=v.mig, usd_h=None if price_usd_h is None else 2.61)
        for v in made
        if v.class_ == "host"
    )
    diagnosis = Diagnosis(
        provenance=make_provenance(made),
        verdicts=made,
        ladder=ladder,
        findings=default if findings is None else tuple(findings),
        totals=make_totals(ladder),
    )
    return msgspec.structs.replace(diagnosis, **changes)


def make_device_info(gpu: int = 0, **changes: Any) -> DeviceInfo:
    """Static facts of a whole GPU with GPM."""
    info = DeviceInfo(
        key=device_key(gpu),
        index=gpu,
        name=DEVICE_NAME,
        uuid=device_key(gpu),
        pci_bus_id=f"0000:{gpu + 1:02X}:00.0",
        memory_total_bytes=80 * GIB,
        compute_capability="9.0",
        sm_count=132,
        power_limit_w=700.0,
        power_limit_default_w=700.0,
        sm_mhz_max=1980.0,
        pcie_gen_max=5,
        pcie_width_max=16,
        numa_node=0,
        ecc_enabled=True,
        gpm=True,
    )
    return msgspec.structs.replace(info, **changes)


def make_sample(gpu: int = 0, **changes: Any) -> Sample:
    """One device at one instant, with one GPM sub-window."""
    gpm = Gpm(
        t_s=T0_S + 60.0, duration_s=0.2, gr_active=0.62, sm_active=0.41, tensor_active=0.22, dram_active=0.18
    )
    sample = Sample(
        key=device_key(gpu),
        t_s=T0_S + 60.0,
        gpu_util_frac=0.62,
        mem_util_frac=0.18,
        mem_used_bytes=40 * GIB,
        mem_total_bytes=80 * GIB,
        power_w=291.0,
        energy_j=1.0e6,
        sm_mhz=1755.0,
        mem_mhz=2619.0,
        temp_c=61.0,
        throttle_reasons=(),
        gpm=(gpm,),
    )
    return msgspec.structs.replace(sample, **changes)


def make_process(gpu: int = 0, **changes: Any) -> ProcessSample:
    """The training process and its eight busy loader workers."""
    process = ProcessSample(
        key=device_key(gpu),
        pid=81234,
        name="train_vit.py",
        user="alice",
        job="slurm:4711",
        mem_used_bytes=40 * GIB,
        sm_frac=0.41,
        state="running",
        cpu_frac=0.97,
        busiest_thread_frac=0.93,
        children=8,
        children_busy=8,
        children_cpu_frac=7.9,
    )
    return msgspec.structs.replace(process, **changes)


def make_host_sample(**changes: Any) -> HostSample:
    """Sixteen cores, half of them busy."""
    host = HostSample(
        t_s=T0_S + 60.0,
        cpu_fracs=(0.99, 0.21) * 8,
        load_1m=9.4,
        psi_cpu_frac=0.41,
        psi_io_frac=0.02,
        psi_memory_frac=0.0,
        mem_used_bytes=212 * GIB,
        mem_total_bytes=503 * GIB,
        swap_used_bytes=0,
        disk_read_bytes_s=4.0e8,
        disk_write_bytes_s=1.0e6,
        throttled_frac=0.0,
    )
    return msgspec.structs.replace(host, **changes)


def make_history(verdict: Verdict, points: int = 60) -> tuple[HistoryPoint, ...]:
    """One point a second up to the end of the window, all with the verdict's shares."""
    times = (T0_S + 61.0 - points + i for i in range(points))
    return tuple(
        HistoryPoint(
            t_s=t,
            shares=verdict.shares,
            gr_active=0.62,
            sm_active=0.41,
            tensor_active=0.22,
            dram_active=0.18,
            power_w=291.0,
            sm_mhz=1755.0,
            mem_used_bytes=40 * GIB,
        )
        for t in times
    )


def make_ceilings(**changes: Any) -> Ceilings:
    """Ceilings of the simulated card, assumed. Every figure is invented."""
    label: Label = changes.get("label", "assumed")
    figures = (("dram", 2.9e12, "bytes_s"), ("bf16", 7.9e14, "flop_s"), ("pcie", 5.3e10, "bytes_s"))
    ceilings = Ceilings(
        model="X100 SXM 80GB",
        label=label,
        readings=tuple(
            Reading(counter=counter, frac=frac, label=label, source="invented")
            for counter, frac in (("dram_active", 0.92), ("tensor_active", 0.80))
        ),
        ceilings=tuple(
            Ceiling(metric=metric, value=value, unit=unit, label=label, source="invented")
            for metric, value, unit in figures
        ),
        sm_mhz=1755.0,
    )
    return msgspec.structs.replace(ceilings, **changes)


def make_measured(**changes: Any) -> Ceilings:
    """The same, as if probes had measured them two days before the end of the window."""
    return make_ceilings(**{"label": "measured", "measured_s": T0_S + 60.0 - 2 * 86400.0, **changes})


def make_device_view(
    verdict: Verdict | None = None, ladder: LadderRow | None = None, **changes: Any
) -> DeviceView:
    """The row a screen draws for a verdict."""
    verdict = make_verdict() if verdict is None else verdict
    history = make_history(verdict)
    view = DeviceView(
        info=make_device_info(verdict.gpu, key=verdict.key, name=verdict.device_name),
        state="ok",
        sample=make_sample(verdict.gpu, key=verdict.key),
        latest=history[-1],
        processes=(make_process(verdict.gpu, key=verdict.key),),
        verdict=verdict,
        ladder=make_ladder(verdict) if ladder is None else ladder,
        history=history,
        ceilings=make_ceilings(),
    )
    return msgspec.structs.replace(view, **changes)


def make_hello(devices: Iterable[DeviceInfo] | None = None, **changes: Any) -> Hello:
    """The header of a synthetic stream."""
    hello = Hello(
        t_s=T0_S,
        advisor_version="0.1.0",
        driver_version="580.159",
        cuda_version="13.0",
        pynvml_version="13.580.65",
        host=HostInfo(host="host-7f3a9c21", cores=16, numa_nodes=2, governor="performance", python="3.11.9"),
        devices=(make_device_info(),) if devices is None else tuple(devices),
        synthetic=True,
        note="simulated NVML library",
    )
    return msgspec.structs.replace(hello, **changes)


def make_snapshot(
    *classes: Class,
    diagnosis: Diagnosis | None = None,
    mode: Literal["live", "replay", "demo"] = "live",
    **changes: Any,
) -> Snapshot:
    """The picture of a node: one GPU per class given, or the rows of `diagnosis`."""
    diagnosis = make_diagnosis(*classes) if diagnosis is None else diagnosis
    rows = {row.key: row for row in diagnosis.ladder}
    views = tuple(make_device_view(v, rows.get(v.key)) for v in diagnosis.verdicts)
    snapshot = Snapshot(
        t_s=T0_S + 60.0,
        mode=mode,
        reason="",
        hello=make_hello(view.info for view in views),
        devices=views,
        host=make_host_sample(),
        diagnosis=diagnosis,
    )
    return msgspec.structs.replace(snapshot, **changes)
