"""What a simulated program counted of itself, and the truth that follows. No counter of the card is in it."""

from __future__ import annotations

from benchmarks.accuracy.simulated.timeline import Run
from benchmarks.workloads.spec import LABELS, Account, Truth
from probes.ceilings import Ceilings

# Names of probes' metrics -> names of ceilings.
_CEILINGS = {"dram_copy": "dram_copy", "fp64": "fp64_tensor"}


def account(run: Run, pid: int | None) -> Account:
    """Bytes, FLOPs, launches, and seconds by section, as the program would count them."""
    counts: dict[str, float] = {}
    for stretch in run.stretches:
        phase = run.phases[stretch.phase]
        seconds = stretch.end_s - stretch.start_s
        _add(counts, "h2d_bytes", phase.rx_bytes_s * seconds * stretch.pace)
        running = seconds * phase.run if phase.kernel is not None else 0.0
        _add(counts, f"{phase.belongs}_s", running)
        _add(counts, "host_s", seconds - running if phase.belongs != "idle" else 0.0)
        if phase.kernel is not None:
            work_s = running * stretch.pace
            middle_s = (stretch.start_s + stretch.end_s) / 2
            _add(counts, "bytes", run.card.useful_bytes_s(phase.kernel) * work_s)
            _add(
                counts, "flops", run.card.flops_s(phase.kernel, run.mhz_at(stretch.phase, middle_s)) * work_s
            )
            _add(counts, "launches", running / phase.kernel.length_s)
    return Account(wall_s=run.seconds, steps=round(run.cycles), counts=counts, pid=pid)


def _add(counts: dict[str, float], name: str, value: float) -> None:
    if value > 0.0:
        counts[name] = counts.get(name, 0.0) + value


def shares(run: Run, counted: Account) -> dict[str, float]:
    """Class -> share of the run, summing to 1.

    Where the truth is the fix's speed-up, the host's share is what the fix saves, 1 - (cycle with it) /
    (cycle without), and the rest goes to the class beneath. Otherwise each class has its sections' seconds.
    """
    workload = run.program.workload
    if workload.label == "idle":
        return {"idle": 1.0}
    if workload.truth == "speedup":
        assert run.fixed_s is not None, run.program.name
        host = max(0.0, 1.0 - run.fixed_s * run.cycles / run.seconds)
        return {"host": host, workload.beneath: 1.0 - host}
    sections = {label: counted.counts.get(f"{label}_s", 0.0) for label in LABELS}
    whole = sum(sections.values())
    return {label: seconds / whole for label, seconds in sections.items() if seconds > 0.0}


def truth(run: Run, counted: Account, ceilings: Ceilings, recording: str) -> Truth:
    """The recording's truth, labelled synthetic."""
    workload = run.program.workload
    speedup = None if run.fixed_s is None else run.seconds / (run.fixed_s * run.cycles)
    return Truth(
        name=workload.name,
        family=workload.family,
        label=workload.label,
        accepted=workload.accepted,
        cause=workload.cause,
        causes=workload.causes,
        shares=shares(run, counted),
        confirmed=True,
        because="simulated: by construction, from the simulated program's own seconds, bytes and FLOPs",
        recording=recording,
        device=run.card.name,
        synthetic=True,
        base=counted,
        fixed=_fixed(run, counted.pid),
        fix=workload.fix,
        speedup=speedup,
        of_ceiling=_of_ceiling(run, counted, ceilings),
        about=workload.about,
    )


def _fixed(run: Run, pid: int | None) -> Account | None:
    if run.fixed_s is None:
        return None
    return Account(wall_s=run.seconds, steps=round(run.seconds / run.fixed_s), pid=pid)


def _of_ceiling(run: Run, counted: Account, ceilings: Ceilings) -> float | None:
    """Work over wall time, over the ceiling; as a program would count it, also where it is a mix."""
    if run.program.workload.bound is None:
        return None
    metric, unit = run.program.workload.bound
    ceiling = ceilings.ceiling(_CEILINGS.get(metric, metric))
    return counted.counts.get(unit, 0.0) / run.seconds / ceiling.value if ceiling else None
