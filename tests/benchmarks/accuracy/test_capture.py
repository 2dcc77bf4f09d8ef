"""A raw capture becomes recordings with truths from its own accounting."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.telemetry.records import Frame
from benchmarks.accuracy.capture import account_of
from benchmarks.accuracy.capture_truth import LOADS, ceiling_for, load_of, rate_of, section_ceilings, truth_of
from benchmarks.accuracy.corpus import Corpus, read_corpus
from benchmarks.accuracy.parts import by_construction, split
from benchmarks.accuracy.replay import Replayed, read_messages, replay_all
from benchmarks.workloads.spec import Account
from probes.ceilings import Ceiling, Ceilings
from probes.record import ProbeRun
from tests.probes.reports import facts, full

T0 = 1_700_000_000.0
ROWS = 60
STEP_S = 0.11
FACTS: dict[str, Any] = {
    "options": ["--out"],
    "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
    "nvmlDeviceGetUUID": "GPU-00000000",
    "nvmlDeviceGetPowerManagementLimit": "700000",
    "nvmlDeviceGetNumGpuCores": "!NVMLError: Not Supported",
    "driver": "580",
    "torch": "2.11",
    "wall_s": 60.0,
    "skipped": ["atomics"],
}


def raw(i: int, gpm: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """One raw sample of a busy load; every fifth has the host process."""
    row: dict[str, Any] = {
        "t": T0 + STEP_S * i,
        "gpu_util": 100,
        "mem_util": 80,
        "mem_used": 9 << 30,
        "power_mw": 450_000,
        "energy_mj": 1_000 * i,
        "sm_mhz": 1980,
        "mem_mhz": "!NVMLError: Unknown",
        "temp_c": 55,
        "reasons": 4,
        "gpm": gpm,
        **changes,
    }
    if i % 5 == 0:
        cpu_s = 0.9 * STEP_S * i
        row["host"] = {
            "threads_cpu_s": {"7": cpu_s, "8": 0.0},
            "cpu_s": cpu_s,
            "status": "running",
            "ctx": [10 * i, 0],
            "io": [0, 0],
        }
    return row


COPY = {"gr_active": 99.0, "sm_active": 97.0, "dram_active": 92.0, "tensor_active": 0.0, "hmma_tensor": 0.0}
COPY |= {"fp32_active": 1.0, "fp64_active": 0.0, "sm_occupancy": 60.0, "pcie_rx_mib_s": 1.0}


def pack(tmp_path: Path, summary: dict[str, Any], facts: dict[str, Any] | None = None) -> Path:
    """A capture of these loads, all with the counters of a copy."""
    folder = tmp_path / "capture"
    (folder / "loads").mkdir(parents=True)
    (folder / "facts.json").write_text(json.dumps(FACTS if facts is None else facts))
    (folder / "summary.json").write_text(json.dumps(summary))
    for name in summary:
        lines = [json.dumps(raw(i, COPY)) for i in range(ROWS)]
        (folder / "loads" / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    archive = tmp_path / "capture.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(folder, arcname="capture")
    return archive


COPIED = {
    "label": "memory",
    "cause": "dram",
    "accounting": {"wall_s": 6.6, "steps": 9, "bytes": 6.6 * 2.7e12},
}


def read(tmp_path: Path, archive: Path) -> Corpus:
    return read_corpus([archive], tmp_path / "scratch")


def test_a_capture_alone_is_scored(tmp_path: Path) -> None:
    corpus = read(tmp_path, pack(tmp_path, {"copy": COPIED}))
    (recorded,) = corpus.recordings
    assert (
        not corpus.problems
        and not corpus.synthetic
        and corpus.skipped == {"atomics": "the capture's time was up"}
    )
    assert recorded.truth.confirmed and "typical of the data sheet" in recorded.truth.because
    replayed = replay_all(recorded, (), ablations=False)
    assert isinstance(replayed, Replayed)
    assert {tier: v.class_ for tier, v in replayed.verdicts.items()} == dict.fromkeys(
        ("counters", "nvml"), "memory"
    )
    assert replayed.verdicts["counters"].ceilings_label == "assumed", "its own readings would be circular"


def test_raw_figures_become_the_products_own_units(tmp_path: Path) -> None:
    (recorded,) = read(tmp_path, pack(tmp_path, {"copy": COPIED})).recordings
    frames = [m for m in read_messages(recorded.path) if isinstance(m, Frame)]
    assert len(frames) == 5
    one = frames[2].samples[0]
    assert (one.gpu_util_frac, one.power_w, one.mem_mhz) == (1.0, 450.0, None)
    assert one.throttle_reasons == ("sw_power_cap",)
    assert [g.duration_s for g in one.gpm] == pytest.approx([STEP_S] * len(one.gpm), abs=1e-5)
    assert one.gpm[0].dram_active == pytest.approx(0.92) and one.gpm[0].pcie_rx_bytes_s == 1 << 20
    looks = [p for f in frames for p in f.processes or ()]
    assert looks[1].busiest_thread_frac == pytest.approx(0.9, abs=0.01)
    assert looks[1].voluntary_switches_s == pytest.approx(10 / STEP_S, rel=0.01)


def test_a_dry_capture_is_synthetic_and_one_without_nvml_is_none(tmp_path: Path) -> None:
    dry = read(tmp_path, pack(tmp_path / "a", {"copy": COPIED}, {**FACTS, "options": ["--out", "--dry"]}))
    assert dry.synthetic
    bare = read(tmp_path / "b", pack(tmp_path / "b", {"copy": COPIED}, {"options": []}))
    assert not bare.recordings and "without NVML" in bare.problems[0].reason


def test_garbage_in_a_capture_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    archive = pack(tmp_path, {"copy": COPIED, "triad": COPIED})
    broken = tmp_path / "capture" / "loads" / "triad.jsonl.gz"
    broken.write_bytes(gzip.compress(b'{"t": "now"}\n[1]\nnonsense\n' + b"[" * 5000))
    with tarfile.open(archive, "w:gz") as out:
        out.add(tmp_path / "capture", arcname="capture")
    corpus = read(tmp_path, archive)
    assert [r.truth.name for r in corpus.recordings] == ["copy"]
    assert [p.file for p in corpus.problems] == ["triad.jsonl.gz"]


def account(**counts: float) -> Account:
    return Account(wall_s=10.0, steps=1, counts=counts)


def truth(name: str, counted: Account, ceilings: Ceilings | None = None, **rates: float) -> Any:
    load = load_of(name, "mixed", "")
    known = ceiling_for(name, load, None, ceilings, rates)
    sections = section_ceilings(name, load, None, ceilings, rates)
    return truth_of(name, load, counted, known, "x", synthetic=False, sections=sections)


def test_a_load_never_confirms_itself() -> None:
    alone = truth("copy", account(bytes=2e13), copy=2e12)
    assert not alone.confirmed and alone.of_ceiling is None
    beside = truth("copy", account(bytes=2e13), copy=2e12, triad=2.5e12)
    assert beside.confirmed and beside.of_ceiling == pytest.approx(0.8) and "triad" in beside.because
    slow = truth("copy", account(bytes=1e13), copy=1e12, triad=2.5e12)
    assert not slow.confirmed


def test_probes_count_before_the_data_sheet() -> None:
    def known(value: float) -> Ceilings:
        ceiling = Ceiling(metric="dram", value=value, unit="bytes_s", label="measured", source="x")
        return Ceilings(model="x", label="measured", ceilings=(ceiling,))

    found = ceiling_for("copy", LOADS["copy"], known(3.0), known(4.0), {})
    assert found is not None and (found.value, found.source) == (3.0, "probed")


def test_shares_come_from_sections_and_a_mix_is_labelled_by_them() -> None:
    mixed = truth("prefill_decode", account(prefill_s=3.0, decode_s=6.0))
    assert mixed.label == "memory" and mixed.shares == pytest.approx(
        {"compute": 0.3, "memory": 0.6, "host": 0.1}
    )
    host = truth("mix_host_compute", account(host_s=6.0))
    assert host.label == "host" and host.shares == pytest.approx({"host": 0.6, "compute": 0.4})
    mostly = truth("mix_host_compute", account(host_s=1.0))
    assert mostly.label == "compute"


def test_launch_bound_loads_have_a_class_and_no_shares() -> None:
    tiny = truth("tiny_kernels", account(launches=1e6))
    assert tiny.label == "host" and by_construction(tiny) and tiny.shares == {}
    failed = truth("tiny_kernels", account_of({"error": "out of memory"}))
    assert not failed.confirmed and not by_construction(failed)
    assert failed.because.startswith("out of memory")


@pytest.mark.parametrize("name", ["one_block", "low_occupancy", "atomics", "item_sync", "small_copies"])
def test_what_no_count_bears_out_is_known_by_construction_alone(name: str) -> None:
    assert by_construction(truth(name, account(launches=1e6, syncs=200.0, copies=64.0)))


def test_a_load_that_does_nothing_is_idle() -> None:
    held = truth("idle_held", account(host_s=9.9, held=0.0))
    assert held.confirmed and held.because == "it launched nothing"


def ceilings_of(**values: float) -> Ceilings:
    known = tuple(
        Ceiling(metric=m, value=v, unit="x", label="measured", source="x") for m, v in values.items()
    )
    return Ceilings(model="x", label="measured", ceilings=known)


# A step of prefill_decode: 400 products of 8192 and 4800 products of such a matrix with a vector.
PREFILL, DECODE = 400 * 2.0 * 8192**3, 4800 * 2.0 * 8192**2


@pytest.mark.parametrize(
    ("prefill_s", "decode_s", "bf16", "confirmed"),
    [
        (6.0, 3.5, 1.0, True),
        (6.0, 3.5, 2.0, False),
        (3.0, 3.5, 1.0, False),
        (6.0, 0.0, 1.0, False),
    ],
    ids=["both at 0.8", "prefill at 0.4", "not covered", "no decoding"],
)
def test_each_section_of_a_mix_is_held_against_its_own_ceiling(
    prefill_s: float, decode_s: float, bf16: float, confirmed: bool
) -> None:
    known = ceilings_of(bf16=bf16 * PREFILL / 6.0 / 0.8, dram=DECODE / 3.5 / 0.8)
    found = truth("prefill_decode", account(prefill_s=prefill_s, decode_s=decode_s), known)
    assert found.confirmed == confirmed and not by_construction(found)
    assert not truth("prefill_decode", account(prefill_s=6.0, decode_s=3.5)).confirmed


def test_images_count_as_the_flops_of_the_net() -> None:
    rate = rate_of(LOADS["conv_train"], {"images": 1000.0}, 1.0)
    assert rate == pytest.approx(1000 * 3 * 2 * 9 * 56 * 56 * 256 * 1283)


def test_every_load_belongs_to_a_family_of_the_split() -> None:
    assert {load.family for load in LOADS.values()} <= set(split().families)
    for label in ("compute", "memory", "host", "device", "idle", "nonsense"):
        assert load_of("new", label, "x").family in split().families


def test_probes_of_the_same_card_beside_a_capture_are_what_it_is_judged_by(tmp_path: Path) -> None:
    archive = pack(tmp_path, {"copy": COPIED})
    mine = full(device=facts(key="GPU-00000000"))
    beside = archive.with_name("probes.json")
    beside.write_bytes(msgspec.json.encode(ProbeRun(reports=(mine,))))
    (recorded,) = read(tmp_path, archive).recordings
    assert "probed" in recorded.truth.because
    replayed = replay_all(recorded, (), ablations=False)
    assert isinstance(replayed, Replayed)
    assert replayed.verdicts["counters"].ceilings_label == "measured"
    beside.write_bytes(msgspec.json.encode(ProbeRun(reports=(full(),))))
    corpus = read(tmp_path, archive)
    assert "another card" in corpus.problems[0].reason
    assert "typical" in corpus.recordings[0].truth.because
