"""Capture: a raw capture of labelled loads as recordings with truths, so that it is scored like any other.

A capture holds facts.json (what the driver says), summary.json (each load's label and accounting) and, a
load each, NAME.jsonl.gz with a raw sample about every 110 ms: NVML's figures, GPM percentages, and the host
process every half second. Figures that the driver refused are texts that begin with "!".
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from advisor.telemetry.gpm_metrics import MIB
from advisor.telemetry.lines import Lines, RecordingError
from advisor.telemetry.nvml import clocks_event_names
from advisor.telemetry.recorder import Recorder
from advisor.telemetry.records import DeviceInfo, End, Frame, Gpm, Hello, HostInfo, ProcessSample, Sample
from benchmarks.accuracy.capture_truth import (
    Load,
    ceiling_for,
    load_of,
    rate_of,
    section_ceilings,
    truth_of,
)
from benchmarks.accuracy.corpus import Problem, read_json
from benchmarks.workloads.spec import Account, Session
from probes.ceilings import Ceilings
from probes.derive import ceilings_of
from probes.record import ProbeRun
from probes.specs import assumed_ceilings, find_spec

PROBES = "probes.json"
TICK_S = 1.0
LOOK_S = 2.0
# A pause between raw samples longer than this leaves a hole rather than one long sub-window.
_WINDOW_MAX_S = 0.6
_PERCENT = {
    "gr_active": "gr_active",
    "sm_active": "sm_active",
    "sm_occupancy": "sm_occupancy",
    "int_active": "int_active",
    "tensor_active": "tensor_active",
    "dfma_tensor": "dfma",
    "hmma_tensor": "hmma",
    "dmma_tensor": "dmma",
    "imma_tensor": "imma",
    "dram_active": "dram_active",
    "fp64_active": "fp64",
    "fp32_active": "fp32",
    "fp16_active": "fp16",
}
_MIB_S = {
    "pcie_tx_mib_s": "pcie_tx_bytes_s",
    "pcie_rx_mib_s": "pcie_rx_bytes_s",
    "nvlink_rx_mib_s": "nvlink_rx_bytes_s",
    "nvlink_tx_mib_s": "nvlink_tx_bytes_s",
}
_PID = 1  # a capture does not say which process its loads run in

Raw = Mapping[str, Any]


class Summary(msgspec.Struct, frozen=True):
    """One load's entry in summary.json."""

    label: str
    cause: str
    accounting: dict[str, float | str] = {}


def convert(raw: Path, folder: Path, archive: Path, problems: list[Problem]) -> Path | None:
    """Write the recordings of an unpacked capture; None with a problem noted where it has none.

    What `python -m probes --json -o probes.json` measured on the same card counts where it lies beside it.
    """
    facts = read_json(raw / "facts.json", dict[str, Any], problems)
    summary = read_json(raw / "summary.json", dict[str, Summary], problems)
    if facts is None or summary is None:
        return None
    device = _known(facts, "nvmlDeviceGetName")
    if device is None:
        problems.append(Problem(file=str(archive), reason="was made without NVML: it holds no counters"))
        return None
    probed = probed_beside(archive, facts, problems)
    folder.mkdir(parents=True, exist_ok=True)
    _convert_loads(raw, folder, facts, device, summary, probed, problems)
    return folder


def probed_beside(archive: Path, facts: Raw, problems: list[Problem]) -> Ceilings | None:
    """What probes measured on the very card of the capture; None where there is no such file."""
    path = archive.with_name(PROBES)
    run = read_json(path, ProbeRun, problems) if path.is_file() else None
    if run is None:
        return None
    key = _known(facts, "nvmlDeviceGetUUID")
    report = next((r for r in run.reports if r.device.key == key), None)
    if report is None:
        problems.append(Problem(file=str(path), reason="is of another card than the capture beside it"))
        return None
    spec = find_spec(report.device.name, None)
    return ceilings_of(report, None if spec is None else assumed_ceilings(spec))


def _convert_loads(
    raw: Path,
    folder: Path,
    facts: Raw,
    device: str,
    summary: Mapping[str, Summary],
    probed: Ceilings | None,
    problems: list[Problem],
) -> None:
    synthetic = "--dry" in (facts.get("options") or ())
    loads = {name: load_of(name, s.label, s.cause) for name, s in summary.items()}
    accounts = {name: account_of(s.accounting) for name, s in summary.items()}
    rates = _rates(loads, accounts)
    spec = find_spec(device, None)
    sheet = None if spec is None else assumed_ceilings(spec)
    first_s: float | None = None
    for name, load in loads.items():
        rows = list(raw_rows(raw / f"{name}.jsonl.gz", problems))
        if len(rows) < 3:
            problems.append(Problem(file=f"{name}.jsonl.gz", reason="holds fewer than three samples"))
            continue
        first_s = first_s or rows[0]["t"]
        write_stream(folder / f"{name}.recording.jsonl.gz", rows, facts, device, synthetic, probed)
        known = ceiling_for(name, load, probed, sheet, rates)
        sections = section_ceilings(name, load, probed, sheet, rates)
        truth = truth_of(name, load, accounts[name], known, device, synthetic=synthetic, sections=sections)
        (folder / f"{name}.truth.json").write_bytes(msgspec.json.encode(truth))
    session = _session(facts, device, first_s, synthetic)
    (folder / "session.json").write_bytes(msgspec.json.encode(session))


def _rates(loads: Mapping[str, Load], accounts: Mapping[str, Account]) -> dict[str, float]:
    found = {n: rate_of(load, accounts[n].counts, accounts[n].wall_s) for n, load in loads.items()}
    return {name: rate for name, rate in found.items() if rate is not None}


def _session(facts: Raw, device: str, first_s: float | None, synthetic: bool) -> Session:
    date = (
        "" if first_s is None else datetime.datetime.fromtimestamp(first_s, datetime.UTC).date().isoformat()
    )
    skipped = [name for name in facts.get("skipped") or () if isinstance(name, str)]
    return Session(
        device=device,
        date=date,
        driver=_known(facts, "driver"),
        torch=_known(facts, "torch"),
        cupy=None,
        synthetic=synthetic,
        seconds=_figure(facts.get("wall_s")) or 0.0,
        command="a raw capture",
        skipped=dict.fromkeys(skipped, "the capture's time was up"),
    )


def account_of(said: Mapping[str, float | str]) -> Account:
    """The load's accounting as an Account: seconds and counts, without the rates derived from them."""
    figures = {k: float(v) for k, v in said.items() if isinstance(v, int | float)}
    error = said.get("error")
    return Account(
        wall_s=figures.pop("wall_s", 0.0),
        steps=int(figures.pop("steps", 0)),
        counts=figures,
        pid=_PID,
        error=None if error is None else str(error),
    )


def raw_rows(path: Path, problems: list[Problem]) -> Iterator[Raw]:
    """The raw samples that are whole, in order of time."""
    warnings: list[str] = []
    try:
        lines = Lines(path, warnings.append)
    except RecordingError as error:
        problems.append(Problem(file=path.name, reason=str(error)))
        return
    last_s = 0.0
    for line in lines:
        row = _row(line)
        if row is not None and row["t"] > last_s:
            last_s = row["t"]
            yield row
    lines.close()
    problems.extend(Problem(file=path.name, reason=warning) for warning in warnings)


def _row(line: bytes | None) -> Raw | None:
    try:
        row = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and _figure(row.get("t")) else None


def write_stream(
    path: Path, rows: Sequence[Raw], facts: Raw, device: str, synthetic: bool, probed: Ceilings | None
) -> None:
    """One load's raw samples as a recording: a sample a second, with the sub-windows since the last."""
    info = _info(rows, facts, device)
    hello = Hello(
        t_s=rows[0]["t"],
        advisor_version="0",
        driver_version=_known(facts, "driver"),
        interval_s=TICK_S,
        gpm_interval_s=0.11,
        host=HostInfo(host="capture"),
        devices=(info,),
        synthetic=synthetic,
        note="converted from a raw capture",
        ceilings={} if probed is None else {info.key: probed},
    )
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(hello)
        for frame in frames(rows, info.key):
            recorder.write(frame)
        recorder.write(End(t_s=rows[-1]["t"], reason="end of the capture"))


def _info(rows: Sequence[Raw], facts: Raw, device: str) -> DeviceInfo:
    key = _known(facts, "nvmlDeviceGetUUID") or "GPU-captured"
    limit_mw = _known(facts, "nvmlDeviceGetPowerManagementLimit") or ""
    return DeviceInfo(
        key=key,
        uuid=key,
        index=0,
        name=device,
        power_limit_w=float(limit_mw) / 1e3 if limit_mw.isdigit() else None,
        gpm=any(isinstance(row.get("gpm"), dict) for row in rows),
    )


def frames(rows: Sequence[Raw], key: str) -> Iterator[Frame]:
    """Ticks of about a second. The first window is left out: it began before the load did."""
    windows: list[Gpm] = []
    last_look: Raw | None = None
    tick_s, seq = rows[0]["t"] + TICK_S, 0
    for before, row in pairwise(rows):
        window = _window(before["t"], row)
        windows += [window] if window is not None else []
        if row["t"] < tick_s:
            continue
        look, looked = _look(last_look, rows, row["t"], key)
        last_look = looked or last_look
        yield Frame(seq=(seq := seq + 1), t_s=row["t"], samples=(_sample(row, key, windows),), processes=look)
        windows, tick_s = [], row["t"] + TICK_S


def _window(before_s: float, row: Raw) -> Gpm | None:
    figures, duration_s = row.get("gpm"), row["t"] - before_s
    if not isinstance(figures, dict) or not 0.0 < duration_s <= _WINDOW_MAX_S:
        return None
    shares = {field: _scaled(figures.get(name), 0.01) for name, field in _PERCENT.items()}
    rates = {field: _scaled(figures.get(name), MIB) for name, field in _MIB_S.items()}
    return Gpm(t_s=row["t"], duration_s=duration_s, **shares, **rates)


def _sample(row: Raw, key: str, windows: Sequence[Gpm]) -> Sample:
    reasons = row.get("reasons")
    used = _figure(row.get("mem_used"))
    return Sample(
        key=key,
        t_s=row["t"],
        gpu_util_frac=_scaled(row.get("gpu_util"), 0.01),
        mem_util_frac=_scaled(row.get("mem_util"), 0.01),
        mem_used_bytes=None if used is None else int(used),
        power_w=_scaled(row.get("power_mw"), 1e-3),
        energy_j=_scaled(row.get("energy_mj"), 1e-3),
        sm_mhz=_figure(row.get("sm_mhz")),
        mem_mhz=_figure(row.get("mem_mhz")),
        temp_c=_figure(row.get("temp_c")),
        throttle_reasons=clocks_event_names(reasons) if isinstance(reasons, int) and reasons >= 0 else None,
        gpm=tuple(windows),
    )


def _look(
    last: Raw | None, rows: Sequence[Raw], now_s: float, key: str
) -> tuple[tuple[ProcessSample, ...] | None, Raw | None]:
    """A look at the load's process every LOOK_S, and the raw row it was taken from."""
    hosts = [row for row in rows if row["t"] <= now_s and isinstance(row.get("host"), dict)]
    if not hosts:  # nobody's process was watched: the load `free`
        return (), None
    newest = hosts[-1]
    if last is None:
        return (ProcessSample(key=key, pid=_PID, name="python", mem_used_bytes=1 << 30),), newest
    if newest["t"] - last["t"] < LOOK_S:
        return None, None
    return (_process(last, newest, key),), newest


def _process(before: Raw, after: Raw, key: str) -> ProcessSample:
    a, b, dt = before["host"], after["host"], after["t"] - before["t"]
    threads = b.get("threads_cpu_s") if isinstance(b.get("threads_cpu_s"), dict) else {}
    earlier = a.get("threads_cpu_s") if isinstance(a.get("threads_cpu_s"), dict) else {}
    grown = [_grown({"s": earlier.get(t, 0.0)}, {"s": s}, "s", dt) for t, s in threads.items()]
    return ProcessSample(
        key=key,
        pid=_PID,
        name="python",
        mem_used_bytes=1 << 30,
        state=b.get("status") if isinstance(b.get("status"), str) else None,
        cpu_frac=_grown(a, b, "cpu_s", dt),
        busiest_thread_frac=max((g for g in grown if g is not None), default=None),
        threads=len(threads) or None,
        voluntary_switches_s=_grown_at(a, b, "ctx", 0, dt),
        io_read_bytes_s=_grown_at(a, b, "io", 0, dt),
        io_write_bytes_s=_grown_at(a, b, "io", 1, dt),
    )


def _grown(a: Raw, b: Raw, name: str, dt: float) -> float | None:
    first, then = _figure(a.get(name)), _figure(b.get(name))
    return None if first is None or then is None else max(0.0, then - first) / dt


def _grown_at(a: Raw, b: Raw, name: str, index: int, dt: float) -> float | None:
    first, then = a.get(name), b.get(name)
    if not isinstance(first, list) or not isinstance(then, list) or min(len(first), len(then)) <= index:
        return None
    return _grown({"v": first[index]}, {"v": then[index]}, "v", dt)


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _scaled(value: object, by: float) -> float | None:
    figure = _figure(value)
    return None if figure is None else figure * by


def _known(facts: Raw, name: str) -> str | None:
    value = facts.get(name)
    return value if isinstance(value, str) and value and not value.startswith("!") else None
