"""The worker on a simulated GPU: whom it refuses, what it marks, what it learns, and when it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from probes.cuda_start import cannot_open, library_versions, prepare_cupy
from probes.events import Event, Progress, Started
from probes.hostload import HostLoad
from probes.record import DeviceFacts, Plan, ProbeReport
from probes.suite import run_device
from probes.worker import beside
from tests.conftest import NvmlStub
from tests.probes.faulty import probe
from tests.probes.reports import take
from tests.probes.test_suite import PATIENT, good_figures, told

UUID = "GPU-aaaa1111-0000-0000-0000-000000000000"
FREE: dict[str, Any] = {"gpus": [{"uuid": UUID}], "cuda_version": "13.0", "driver_version": "580.95.05"}
OTHER = {"pid": 4242, "name": "/usr/bin/python train.py", "memory_mib": 900, "type": "compute"}
BUSY: dict[str, Any] = {**FREE, "gpus": [{"uuid": UUID, "processes": [OTHER]}]}
WORKING: dict[str, Any] = {**FREE, "gpus": [{"uuid": UUID, "gpu_util": 40}]}
FACTS = DeviceFacts(kind="cuda", key=UUID, name="a GPU", index=0, missing={"l2_bytes": "not asked yet"})


class Gpu:
    """Runs probes on a simulated GPU with a torch that knows no GPU either."""

    def __init__(self, stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stub, self._patch = stub, monkeypatch
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_torch"))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")

    def run(
        self,
        scenario: dict[str, Any],
        *names: str,
        force: bool = False,
        hear: Callable[[Event], None] = lambda _event: None,
        env: dict[str, str] | None = None,
    ) -> tuple[ProbeReport, list[Event]]:
        played = self._stub.env(scenario)
        chosen = {name: played[name] for name in ("LD_LIBRARY_PATH", "ADVISOR_NVML_SCENARIO")}
        for name, value in {**chosen, **(env or {})}.items():
            self._patch.setenv(name, value)
        events: list[Event] = []

        def take(event: Event) -> None:
            events.append(event)
            hear(event)

        todo = [probe(name, kind="cuda") for name in names]
        plan = Plan(device=UUID, force=force, mode="quick")
        return run_device(plan, FACTS, take, probes=todo, limits=PATIENT), events


@pytest.fixture
def gpu(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(nvml_stub, monkeypatch)


def test_a_free_gpu_is_opened_by_its_uuid_and_its_facts_completed(gpu: Gpu) -> None:
    report, events = gpu.run(FREE, "versions", "good")
    assert report.refused is None
    (said,) = [e.text for e in events if isinstance(e, Progress) and "cuda:0" in e.text]
    assert said == f"{UUID} cuda:0 7"
    assert (report.device.sm_count, report.device.l2_bytes) == (7, 1 << 20)
    assert (report.device.compute_capability, report.device.memory_free_bytes) == ("9.0", 1 << 30)
    assert report.device.missing == {}
    assert {"driver", "cuda", "torch", "python"} <= set(report.versions)
    assert (report.versions["driver"], report.versions["cuda"]) == ("580.95.05", "13.0")
    assert report.contended is None
    assert good_figures(report) == 2
    assert {m.label for m in report.measurements} == {"measured"}


@pytest.mark.parametrize(
    ("scenario", "reason"), [(BUSY, "in use by process 4242 (python)"), (WORKING, "40% utilised")]
)
def test_a_busy_gpu_is_refused_before_torch_is_imported(
    gpu: Gpu, scenario: dict[str, Any], reason: str
) -> None:
    report, events = gpu.run(scenario, "never", env={"FAKE_TORCH_CUDA": ""})
    assert report.refused is not None
    assert report.refused.startswith(f"the device is busy: {reason}")
    assert "--force" in report.refused
    assert report.measurements == ()
    assert not any(isinstance(e, Started) for e in events)


def test_what_could_not_be_looked_at_is_said(gpu: Gpu) -> None:
    blind = {**FREE, "faults": [{"function": "nvmlDeviceGetUtilizationRates", "return": "NOT_SUPPORTED"}]}
    report, _ = gpu.run(blind, "good")
    assert report.device.missing["busy.utilisation"] == "not supported by this GPU"


def test_force_measures_a_busy_gpu_and_marks_every_record(gpu: Gpu) -> None:
    report, _ = gpu.run(BUSY, "good", "raising", "unsupported", "quits", "good-after", force=True)
    assert report.refused is None
    assert report.contended == "in use by process 4242 (python)"
    assert len(report.measurements) == 6
    assert {m.label for m in report.measurements} == {"contended"}


def test_a_worker_that_goes_on_does_not_take_its_forerunner_for_another_user(gpu: Gpu) -> None:
    """The driver may still list the one that was killed."""

    def crowd(event: Event) -> None:
        if isinstance(event, Started):
            Path(os.environ["ADVISOR_NVML_SCENARIO"]).write_text(json.dumps(BUSY))

    report, events = gpu.run(FREE, "segfault", "good-after", hear=crowd)
    assert sum(isinstance(e, Started) for e in events) == 2
    assert report.refused is None
    assert good_figures(report) == 1
    assert {m.label for m in report.measurements} == {"measured"}


def test_a_lost_context_ends_the_worker_and_a_fresh_one_goes_on(gpu: Gpu) -> None:
    report, events = gpu.run(FREE, "lost", "good-after")
    assert sum(isinstance(e, Started) for e in events) == 2
    assert (told(report, "lost").reason or "").startswith("the device was lost to the worker")
    assert good_figures(report) == 1


@pytest.mark.parametrize(
    ("env", "cuda_version", "reason", "fix"),
    [
        ({}, "12.4", "built for CUDA 13.0, and the driver runs CUDA 12.4 at most", "gpu-advisor[cuda12]"),
        ({"FAKE_TORCH_CUDA": ""}, "13.0", "torch 2.99.0 is a build without CUDA", "gpu-advisor[cuda13]"),
        (
            {"FAKE_TORCH_CUDA": "12.8", "FAKE_TORCH_ERROR": "no kernel image is available"},
            "12.9",
            "torch 2.99.0 (CUDA 12.8) has no kernels for compute capability",
            "gpu-advisor[cuda13]",
        ),
        (
            {"FAKE_TORCH_CUDA": "12.8", "FAKE_TORCH_ERROR": "The NVIDIA driver on your system is too old"},
            "12.2",
            "does not fit the driver, which runs CUDA 12.2 at most",
            "gpu-advisor[cuda12]",
        ),
        (
            {"FAKE_TORCH_ERROR": "CUDA unknown error\nmore"},
            "13.0",
            "does not open: CUDA unknown error.",
            "nvidia-smi",
        ),
        ({"FAKE_TORCH_CUDA": "12.8"}, "11.4", "the driver runs CUDA 11.4", "too old for CUDA 12: update"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_versions_and_the_extra(
    gpu: Gpu, env: dict[str, str], cuda_version: str, reason: str, fix: str
) -> None:
    report, _ = gpu.run({**FREE, "cuda_version": cuda_version}, "never", env=env)
    assert report.refused is not None
    assert reason in report.refused
    assert fix in report.refused


def test_without_torch_a_gpu_is_refused_with_the_extra_for_its_driver(gpu: Gpu, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('none', name='torch')\n")
    report, _ = gpu.run(FREE, "never", env={"PYTHONPATH": str(tmp_path)})
    assert (report.refused or "").startswith("torch is not installed. Install torch for this driver")
    assert "gpu-advisor[cuda13]" in (report.refused or "")


def test_a_torch_that_is_broken_says_how(gpu: Gpu, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudnn.so.9: cannot open')\n")
    report, _ = gpu.run(FREE, "never", env={"PYTHONPATH": str(tmp_path)})
    assert (report.refused or "").startswith("torch cannot be imported: libcudnn.so.9: cannot open.")


def test_a_gpu_that_has_gone_is_refused(gpu: Gpu) -> None:
    report, _ = gpu.run({**FREE, "gpus": [{"uuid": "GPU-another"}]}, "never")
    assert "there is no device" in (report.refused or "")


def test_a_newer_minor_version_of_cuda_is_no_mismatch(gpu: Gpu) -> None:
    report, _ = gpu.run({**FREE, "cuda_version": "12.2"}, "good", env={"FAKE_TORCH_CUDA": "12.8"})
    assert report.refused is None


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("CUDA error: out of memory", "nearly all of the GPU's memory"),
        (
            "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
            "fabricmanager",
        ),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "compute mode"),
        ("something never heard of", "torch.cuda.init()"),
    ],
)
def test_cudas_own_words_are_kept_and_explained(said: str, fix: str) -> None:
    error = cannot_open(RuntimeError(said), {"torch": "2", "cuda": "13.0"}, FACTS, None)
    assert str(error) == f"CUDA does not open: {said}"
    assert fix in error.fix


def test_versions_come_from_what_is_installed() -> None:
    found = library_versions()
    assert {"python", "torch"} <= set(found)
    assert all(isinstance(v, str) and v for v in msgspec.to_builtins(found).values())


def test_cupy_launches_on_torchs_stream_and_keeps_its_cache(tmp_path: Path) -> None:
    env = {"CUPY_CACHE_DIR": str(tmp_path / "kernels"), "CUPY_CUDA_PER_THREAD_DEFAULT_STREAM": "1"}
    prepare_cupy(env)
    assert env == {"CUPY_CACHE_DIR": str(tmp_path / "kernels")}


def test_where_cupy_cannot_write_it_keeps_kernels_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    env: dict[str, str] = {}
    prepare_cupy(env)
    assert env == {"CUPY_CACHE_IN_MEMORY": "1"}


class Neighbour(HostLoad):
    """Others that keep the host busy, or not."""

    def __init__(self, why: str | None) -> None:
        super().__init__([])
        self.why = why

    def contended(self) -> str | None:
        return self.why


def test_a_figure_of_a_host_that_others_use_is_contended() -> None:
    busy, quiet = Neighbour("others kept 1.0 of 2 cores busy"), Neighbour(None)
    m = take("host_copy", 3e10)
    marked = beside(busy, m)
    assert (marked.label, marked.reason) == ("contended", "others kept 1.0 of 2 cores busy")
    assert beside(busy, take("host_copy", 3e10, reason="a remark")).reason == (
        "a remark; others kept 1.0 of 2 cores busy"
    )
    assert beside(quiet, m) == beside(None, m) == m
    nothing = take("host_copy", None)
    assert beside(busy, nothing) == nothing
