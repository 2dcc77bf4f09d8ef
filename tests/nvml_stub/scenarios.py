"""Scenarios of the simulated NVML library, one for each situation the program must recognise.

`python -m tests.nvml_stub.scenarios NAME` prints one as JSON; `--write` rewrites the files in scenarios/.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.nvml_stub.parts import (
    A100,
    H100,
    Load,
    Part,
    Scenario,
    bursts,
    counters,
    gpu,
    node,
    phases,
    process,
)

FILES = Path(__file__).parent / "scenarios"

IDLE = Load(counters(0, 0, 0, 0, 0), 70, 345, 30, 0, memory_mib=0, reasons=("gpu_idle",))
MEMORY = Load(counters(0.99, 0.97, 0.5, 0.05, 0.9, fp32=0.12, int_active=0.1), 480, 1980, 58, 85)
COMPUTE = Load(counters(0.99, 0.97, 0.25, 0.85, 0.3, int_active=0.05), 680, 1755, 64, 35)
LOW_OCCUPANCY = Load(counters(0.99, 0.05, 0.02, 0.01, 0.03), 130, 1980, 38, 2)
LAUNCH_BOUND = Load(counters(0.62, 0.18, 0.06, 0.03, 0.07), 190, 1980, 41, 6)
HOST = Load(
    {key: bursts(value, 0.4, 0.25) for key, value in counters(1, 0.8, 0.3, 0.3, 0.35).items()
     if isinstance(value, (int, float))},
    260, 1980, 45, 14,
)  # fmt: skip
MIXED = Load(
    {
        "gr_active": phases([(1.0, 0.99), (2.6, 0.98), (0.4, 0)]),
        "sm_active": phases([(1.0, 0.97), (2.6, 0.95), (0.4, 0)]),
        "sm_occupancy": phases([(1.0, 0.25), (2.6, 0.45), (0.4, 0)]),
        "tensor_active": phases([(1.0, 0.82), (2.6, 0.06), (0.4, 0)]),
        "hmma": phases([(1.0, 0.82), (2.6, 0.06), (0.4, 0)]),
        "dram_active": phases([(1.0, 0.3), (2.6, 0.88), (0.4, 0)]),
    },
    phases([(1.0, 660), (2.6, 470), (0.4, 150)]), 1980, 60, phases([(1.0, 35), (2.6, 82), (0.4, 0)]),
)  # fmt: skip
THROTTLED = replace(
    COMPUTE, sm_mhz=1200, temp_c=88, power_w=430, reasons=("sw_thermal", "hw_thermal", "hw_slowdown")
)
POWER_CAPPED = replace(COMPUTE, sm_mhz=1305, power_w=399, temp_c=56, reasons=("sw_power_cap",))

UTIL: Part = {"sm_util": 97, "mem_util": 40}


def free() -> Scenario:
    """One idle GPU without a process."""
    return node("a GPU nobody uses", gpu(H100, IDLE))


def idle_held() -> Scenario:
    """A process holds memory and runs nothing."""
    return node("memory held, nothing runs", gpu(H100, IDLE, process(16384)))


def host() -> Scenario:
    """The GPU works 40 % of the time, in bursts of 100 ms."""
    return node("short bursts of work, then waiting", gpu(H100, HOST, process(41000, sm_util=40)))


def memory() -> Scenario:
    """DRAM near its roof, tensor cores nearly idle."""
    return node("memory-bound", gpu(H100, MEMORY, process(62000, **UTIL)))


def compute() -> Scenario:
    """Half-precision tensor cores near their roof."""
    return node("compute-bound on the tensor cores", gpu(H100, COMPUTE, process(62000, **UTIL)))


def low_occupancy() -> Scenario:
    """Always a kernel running, on few SMs."""
    return node("one small kernel after the other", gpu(H100, LOW_OCCUPANCY, process(9000, sm_util=99)))


def launch_bound() -> Scenario:
    """Many short kernels with gaps the CPU leaves."""
    return node("short kernels, limited by launching", gpu(H100, LAUNCH_BOUND, process(12000, sm_util=62)))


def throttled() -> Scenario:
    """Compute-bound at 1200 of 1980 MHz because of heat."""
    return node("thermally throttled", gpu(H100, THROTTLED, process(62000, **UTIL)))


def power_capped() -> Scenario:
    """Compute-bound under a limit of 400 of 700 W."""
    capped = gpu(H100, POWER_CAPPED, process(62000, **UTIL), power_limit_w=400)
    return node("held back by a lowered power limit", capped)


def pcie_degraded() -> Scenario:
    """A link that trained at 8 of 16 lanes and generation 3 of 5, with copies over it."""
    link = {
        "pcie_gen": 3,
        "pcie_width": 8,
        "pcie_replays": {"series": [[0, 12], [600, 1212]], "interp": "linear"},
    }
    traffic = {"pcie_rx_mib_s": 6200, "pcie_tx_mib_s": 300}
    slow = gpu(H100, HOST, process(41000, sm_util=40), **link, **traffic)
    return node("PCIe link below what card and slot can do", slow)


def mixed() -> Scenario:
    """Loop of 4 s: prefill 1 s, decode 2.6 s, nothing 0.4 s."""
    return node("prefill and decode in turn", gpu(H100, MIXED, process(72000, **UTIL)))


def no_gpm() -> Scenario:
    """An A100, which has no GPM: memory-bound as utilisation and power tell it."""
    load = replace(MEMORY, power_w=285, sm_mhz=1410, gpu_util=100)
    return node("memory-bound on a card without GPM", gpu(A100, load, process(62000, **UTIL)))


def lost(calls: int = 150) -> Scenario:
    """Two GPUs; the second falls off the bus after `calls` calls about it."""
    well = gpu(H100, COMPUTE, process(62000, **UTIL))
    return node(
        "the second GPU falls off the bus",
        well,
        gpu(H100, COMPUTE, process(62000, offset=1, **UTIL), lost_after_calls=calls),
    )


def mig() -> Scenario:
    """One GPU in three MIG instances: memory-bound, compute-bound, held idle."""
    instances = [
        _instance("3g.40gb", 1, 3, 60, 40448, 33000, MEMORY),
        _instance("2g.20gb", 3, 2, 32, 20096, 15000, COMPUTE),
        _instance("1g.10gb", 9, 1, 16, 9984, 7000, IDLE),
    ]
    used = [(1, 33000), (3, 15000), (9, 7000)]
    processes = [process(mib, offset=i, gi=gi, ci=0) for i, (gi, mib) in enumerate(used)]
    facts = {"power_w": 430, "sm_mhz": 1980, "temp_c": 52, "memory_used_mib": 55000}
    return node("three MIG instances", {**H100.facts(), **facts, "processes": processes, "mig": instances})


def _instance(profile: str, gi: int, slices: int, sms: int, total: int, used: int, load: Load) -> Part:
    return {
        "profile": profile,
        "gi": gi,
        "ci": 0,
        "slices": slices,
        "compute_slices": slices,
        "sm_count": sms,
        "memory_total_mib": total,
        "memory_used_mib": used,
        "gpm": dict(load.counters),
    }


def hung(after_s: float = 2) -> Scenario:
    """The utilisation call never returns once `after_s` seconds are over."""
    fault = {"function": "nvmlDeviceGetUtilizationRates", "from_s": after_s, "hang": True}
    return {**compute(), "note": "synthetic: a driver that stops answering", "faults": [fault]}


def crash(after_s: float = 2, until_s: float | None = None) -> Scenario:
    """The library aborts the process. With a fixed "t0" and `until_s` a process started later lives on."""
    fault = {"function": "nvmlDeviceGetPowerUsage", "from_s": after_s, "crash": True}
    if until_s is not None:
        fault["to_s"] = until_s
    return {**compute(), "note": "synthetic: a driver that aborts the process", "faults": [fault]}


def old_abi() -> Scenario:
    """A driver whose GPM entries are narrower: a call for several metrics comes back wrong, for one right."""
    old = gpu(H100, MEMORY, process(62000, **UTIL), gpm_abi="old", gpm_array_max=98)
    return node("memory-bound on an older driver", old, driver_version="550.54.15", cuda_version="12.4")


def clocks_pinned() -> Scenario:
    """Compute-bound with application clocks set to 1200 of 1980 MHz."""
    load = replace(COMPUTE, sm_mhz=1200, power_w=390, temp_c=48, reasons=("applications_clocks",))
    return node("application clocks set low", gpu(H100, load, process(62000, **UTIL), sm_mhz_app=1200))


def failing() -> Scenario:
    """One job: a GPU lags, others report XIDs, correct errors, repeat packets, are hot; the last is free."""
    lag = replace(COMPUTE, sm_mhz=1500, temp_c=79, power_w=590)
    grows = {"series": [[0, 12], [600, 6012]], "interp": "linear"}
    odd: list[Part] = [{}, {}, lag.readings(), {"ecc_corrected": grows}, {"pcie_replays": grows}]
    odd += [{"mem_temp_c": 97}, {}]
    gpus = [gpu(H100, COMPUTE, _rank(i), **keys) for i, keys in enumerate(odd)]
    gpus.append(gpu(H100, IDLE, persistence=0))
    events = [{"t_s": 1.5, "gpu": 1, "type": 8, "data": 48}, {"t_s": 1.6, "gpu": 1, "type": 8, "data": 45}]
    return node("a node with failing parts", *gpus, events=events, driver_version="525.60.13")


def _rank(i: int) -> Part:
    return process(62000, name="train_llm", offset=i + 1, **UTIL)


HOSTILE_NAMES = (
    r"python\xff\xfe\x80",
    r"\x1b[31mred\x1b]0;title\x07",
    "[bold red]markup[/] [link=file:///etc/passwd]x[/link]",
    "| a | b |\n|---|---|\n# heading ![i](http://example.invalid/x.png)",
    "<script>alert(1)</script>&amp;",
    "\u202egnp.exe\u202c\u200b",
    "",
    "train_" + "x" * 900,
)


def garbage_names() -> Scenario:
    """Process names that are not UTF-8, or try to inject terminal codes, markup, Markdown and HTML."""
    hostile = [process(900, name=name, offset=i, sm_util=10) for i, name in enumerate(HOSTILE_NAMES)]
    return node("hostile process names", gpu(H100, MEMORY, *hostile))


def eight_gpus() -> Scenario:
    """A node on which each GPU has another trouble."""
    loads = [COMPUTE, MEMORY, HOST, IDLE, IDLE, LOW_OCCUPANCY, THROTTLED, MIXED]
    held = [62000, 71000, 41000, 16384, 0, 9000, 60000, 72000]
    names = ["train_llm", "vllm", "train_vit", "jupyter", "", "rl_actor", "train_llm", "sglang"]
    shares = [98, 99, 40, None, None, 99, 97, 90]
    gpus = []
    for i, (load, mib, name, share) in enumerate(zip(loads, held, names, shares, strict=True)):
        keys: Part = {} if share is None else {"sm_util": share}
        processes = [process(mib, name=name, offset=i, **keys)] if mib else []
        numa: Part = {"numa_node": i // 4, "cpu_affinity": [i // 4]}
        gpus.append(gpu(H100, load.with_noise(0.03), *processes, **numa))
    return node("a mixed node of eight GPUs", *gpus)


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    builder.__name__: builder
    for builder in (
        free, idle_held, host, memory, compute, low_occupancy, launch_bound, throttled, power_capped,
        pcie_degraded, mixed, no_gpm, lost, mig, hung, crash, old_abi, clocks_pinned, failing,
        garbage_names, eight_gpus,
    )
}  # fmt: skip


def as_json(name: str) -> str:
    """The scenario as the file in scenarios/ holds it."""
    return json.dumps(SCENARIOS[name](), indent=1) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Command line: prints one scenario, or writes all files."""
    if list(arguments) == ["--write"]:
        for name in SCENARIOS:
            (FILES / f"{name}.json").write_text(as_json(name))
        return 0
    if len(arguments) != 1 or arguments[0] not in SCENARIOS:
        sys.stderr.write(f"give --write, or one of: {' '.join(SCENARIOS)}\n")
        return 2
    sys.stdout.write(as_json(arguments[0]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
