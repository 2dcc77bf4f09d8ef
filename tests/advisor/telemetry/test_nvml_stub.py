"""The simulated NVML library: scenario files, values over time, and what other programs see."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.conftest import NvmlStub
from tests.nvml_stub.build import LIBRARY, CompilerError, build_stub
from tests.nvml_stub.client import ask, at, launch, node
from tests.nvml_stub.scenarios import FILES, SCENARIOS, as_json


@pytest.mark.parametrize("name", SCENARIOS)
def test_committed_scenario_is_what_its_builder_makes(name: str) -> None:
    assert (FILES / f"{name}.json").read_text() == as_json(name)


def test_no_scenario_file_without_builder() -> None:
    assert {path.stem for path in FILES.glob("*.json")} == set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_synthetic_and_loads(name: str, nvml_stub: NvmlStub) -> None:
    assert SCENARIOS[name]()["note"].startswith("synthetic")
    count = ask(nvml_stub.env(name), "out(p.nvmlDeviceGetCount())", "p.nvmlInit()\n")
    assert count == len(SCENARIOS[name]()["gpus"])


def test_without_a_scenario_there_is_one_idle_h100(nvml_stub: NvmlStub) -> None:
    env = nvml_stub.env("free")
    del env["ADVISOR_NVML_SCENARIO"]
    assert ask(env, "out([p.nvmlDeviceGetName(h), p.nvmlDeviceGetUtilizationRates(h).gpu])") == [
        "NVIDIA H100 80GB HBM3",
        0,
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "line 1"),
        ("[1]", "must be an object"),
        ('{"gpus": [{"powr_w": 3}]}', 'gpus[0]: unknown key "powr_w"'),
        ('{"gpus": [{"power_w": "3"}]}', "power_w must be a number"),
        ('{"gpus": [{"power_w": [[1, 2], [1, 3]]}]}', "times must rise"),
        ('{"gpus": [{"power_w": 1, "power_w": 2}]}', '"power_w" twice'),
        ('{"gpus": [{"reasons": ["hot"]}]}', '"hot"'),
        ('{"gpus": [{"processes": [{"pid": "env:NO_SUCH_NAME"}]}]}', "NO_SUCH_NAME"),
        ('{"gpus": [{"processes": [{"pid": -1}]}]}', "pid must be 0 or more"),
        ('{"gpus": [], "faults": [{"function": "nvmlInit"}]}', "faults[0]"),
        ('{"gpus": [{}, {}, {}, {}, {}, {}, {}, {}, {}]}', "at most 8"),
        ("[" * 40, "too deep"),
        ('{"gpus": [{"power_w": 1e999}]}', "finite"),
        ('{"gpus": [{"name": "\\ud800"}]}', "surrogate"),
        ('{"gpus": []} x', "after the document"),
        ('{"driver_version": "1"}', 'needs "gpus"'),
    ],
)
def test_a_bad_scenario_fails_init_and_says_why(
    nvml_stub: NvmlStub, tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    env = {**nvml_stub.env("free"), "ADVISOR_NVML_SCENARIO": str(path)}
    done = launch(env, "out(code(p.nvmlInit))", "")
    assert json.loads(done.stdout) == "E999"
    assert str(path) in done.stderr and complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


FUZZ = """
verdicts = set()
for path in sorted(os.listdir(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.environ["ADVISOR_NVML_SCENARIO"] = os.path.join(sys.argv[1], path)
        answer = code(p.nvmlInit)
        os._exit(3 if answer == "E999" else 0)
    verdicts.add(os.waitpid(child, 0)[1])
out(sorted(verdicts))
"""


def test_damaged_scenarios_never_crash_the_process(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    chance = random.Random(7)
    originals = [path.read_bytes() for path in sorted(FILES.glob("*.json"))]
    for i in range(200):
        damaged = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            at_byte = chance.randrange(len(damaged))
            damaged[at_byte : at_byte + chance.randint(0, 9)] = chance.choice(
                [b"", b"[", b"]", b"{", b"}", b'"', b"null", b"-1e308", b"\\x", b"\\u12", b"\xff", b"\0"]
            )
        (tmp_path / f"{i}.json").write_bytes(damaged)
    done = launch(nvml_stub.env("free"), FUZZ, "p._LoadNvmlLibrary()\n", str(tmp_path))
    assert done.returncode == 0, done.stderr[-500:]
    assert json.loads(done.stdout) == [0, 3 << 8]


def test_a_missing_scenario_fails_init(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    env = {**nvml_stub.env("free"), "ADVISOR_NVML_SCENARIO": str(tmp_path / "none.json")}
    done = launch(env, "out(code(p.nvmlInit))", "")
    assert json.loads(done.stdout) == "E999" and "cannot open" in done.stderr


POWER = "out(p.nvmlDeviceGetPowerUsage(h) / 1000)"


def test_steps_hold_their_value(nvml_stub: NvmlStub) -> None:
    gpu = {"power_w": [[0, 100], [500, 200], [1000, 300]]}
    assert [at(nvml_stub, gpu, t, POWER) for t in (-50, 250, 750, 5000)] == [100, 100, 200, 300]


def test_linear_interpolates(nvml_stub: NvmlStub) -> None:
    gpu = {"power_w": {"series": [[0, 100], [10000, 600]], "interp": "linear"}}
    assert at(nvml_stub, gpu, 5000, POWER) == pytest.approx(350, abs=1)
    assert at(nvml_stub, gpu, 50000, POWER) == 600


def test_a_loop_repeats(nvml_stub: NvmlStub) -> None:
    gpu = {"power_w": {"series": [[0, 100], [1000, 200]], "loop_s": 2000}}
    assert [at(nvml_stub, gpu, t, POWER) for t in (500, 1500, 2500, 99500)] == [100, 200, 100, 200]


def test_noise_is_bounded_and_the_same_on_every_run(nvml_stub: NvmlStub) -> None:
    gpu = {"power_w": {"series": 1000, "noise": 0.1}}
    code = "out([(p.nvmlDeviceGetPowerUsage(h), time.sleep(0.02))[0] for _ in range(20)])"
    env = nvml_stub.env(node(gpu))
    first, second = ask(env, code), ask(env, code)
    assert all(900_000 <= value <= 1_100_000 for value in first)
    assert len(set(first)) > 1
    assert set(first) & set(second)


def test_null_is_not_supported(nvml_stub: NvmlStub) -> None:
    gpu = {"power_w": None, "temp_c": None, "fan_percent": 40}
    code = """
    out([code(p.nvmlDeviceGetPowerUsage, h), code(p.nvmlDeviceGetTemperature, h, 0),
         p.nvmlDeviceGetFanSpeed(h)])
    """
    assert ask(nvml_stub.env(node(gpu)), code) == ["E3", "E3", 40]


def test_energy_is_the_integral_of_power(nvml_stub: NvmlStub) -> None:
    code = "out([p.nvmlDeviceGetTotalEnergyConsumption(h) / 1000, time.time()])"
    gpu = {"power_w": {"series": [[0, 0], [100, 400]], "loop_s": 200}}
    joules = at(nvml_stub, gpu, 1050, code)[0]
    assert joules == pytest.approx(5 * 100 * 400, abs=1)
    assert at(nvml_stub, {"energy_j": 12.5}, 10, code)[0] == 12.5


def test_speed_moves_time_and_keeps_rates_per_real_second(nvml_stub: NvmlStub) -> None:
    code = "out([p.nvmlDeviceGetPowerUsage(h) / 1000, p.nvmlDeviceGetTotalEnergyConsumption(h) / 1000])"
    gpu = {"power_w": [[0, 100], [30000, 300]]}
    power, joules = at(nvml_stub, gpu, 600, code, speed=60)
    assert power == 300
    assert joules == pytest.approx(500 * 100 + 100 * 300, rel=0.01)


def test_readings_of_a_throttled_card(nvml_stub: NvmlStub) -> None:
    code = """
    out([p.nvmlDeviceGetCurrentClocksEventReasons(h), p.nvmlDeviceGetCurrentClocksThrottleReasons(h),
         p.nvmlDeviceGetClockInfo(h, p.NVML_CLOCK_SM), p.nvmlDeviceGetMaxClockInfo(h, p.NVML_CLOCK_SM),
         p.nvmlDeviceGetClockInfo(h, p.NVML_CLOCK_GRAPHICS), p.nvmlDeviceGetTemperatureV(h, 0)])
    """
    mask = 0x20 | 0x40 | 0x08
    assert ask(nvml_stub.env("throttled"), code) == [mask, mask, 1200, 1980, 1200, 88]


def test_reasons_over_time_and_their_durations(nvml_stub: NvmlStub) -> None:
    gpu = {"reasons": [[0, []], [100, ["sw_power_cap"]], [300, ["sw_power_cap", "sw_thermal"]], [400, 0]]}
    code = """
    v = p.nvmlDeviceGetFieldValues(h, [74, 75, 269, 251])
    violated = p.nvmlDeviceGetViolationStatus(h, 0).violationTime / 1e9
    out([p.nvmlDeviceGetCurrentClocksEventReasons(h), violated]
        + [f.value.ullVal / 1e9 if f.nvmlReturn == 0 else "E%d" % f.nvmlReturn for f in v])
    """
    assert at(nvml_stub, gpu, 350, code)[0] == 0x24
    later = at(nvml_stub, gpu, 1000, code)
    assert later == [0, 300, 300, 100, 100, "E3"]
    assert at(nvml_stub, gpu, 1000, code, driver_version="550.1")[-2:] == ["E3", 100]


def test_fields(nvml_stub: NvmlStub) -> None:
    gpu = {
        "pcie_tx_mib_s": 10,
        "pcie_rx_mib_s": 8000,
        "nvlink_tx_mib_s": 180,
        "mem_temp_c": 71,
        "power_w": 300,
    }
    code = """
    v = p.nvmlDeviceGetFieldValues(h, [82, 185, 186, 197, 198, (138, 0xFFFFFFFF), (138, 3), (138, 99), 4711])
    out([[f.nvmlReturn, f.valueType, f.value.ullVal] for f in v])
    """
    fields = at(nvml_stub, gpu, 1000, code)
    assert [f[:2] for f in fields] == [[0, 1], [0, 1], [0, 1], [0, 3], [0, 3], [0, 3], [0, 3], [2, 0], [3, 0]]
    assert [f[2] for f in fields[:3]] == [71, 300_000, 300_000]
    assert fields[3][2] == pytest.approx(10 * 1000 * 2**20, rel=0.01)
    assert fields[5][2] == pytest.approx(180 * 1000 * 1024, rel=0.01)
    assert fields[6][2] == pytest.approx(10 * 1000 * 1024, rel=0.01)
    narrow = at(nvml_stub, {**gpu, "pcie_counter_bits": 32}, 1000, code)
    assert narrow[4][1] == 1 and narrow[4][2] < 2**32 < fields[4][2]


def test_static_facts(nvml_stub: NvmlStub) -> None:
    gpu = {
        "numa_node": 1,
        "cpu_affinity": [0, 3, 70],
        "pcie_width": 8,
        "remap_pending": 1,
        "ecc_uncorrected": 2,
        "temp_mem_max_c": 105,
    }
    code = """
    out([p.nvmlDeviceGetNumaNodeId(h), list(p.nvmlDeviceGetCpuAffinity(h, 2)),
         p.nvmlDeviceGetCurrPcieLinkWidth(h), p.nvmlDeviceGetMaxPcieLinkWidth(h),
         p.nvmlDeviceGetRemappedRows(h), p.nvmlDeviceGetTotalEccErrors(h, 1, 0),
         p.nvmlDeviceGetCudaComputeCapability(h), p.nvmlDeviceGetPciInfo(h).busId,
         p.nvmlSystemGetCudaDriverVersion(),
         p.nvmlDeviceGetMemoryInfo(h).total, p.nvmlDeviceGetPowerManagementLimitConstraints(h),
         p.nvmlDeviceGetHandleByUUID(p.nvmlDeviceGetUUID(h)) is not None, p.nvmlDeviceGetEccMode(h),
         p.nvmlDeviceGetTemperatureThreshold(h, p.NVML_TEMPERATURE_THRESHOLD_MEM_MAX)])
    """
    got = ask(nvml_stub.env(node(gpu)), code)
    assert got[:7] == [1, [9, 64], 8, 16, [0, 0, 1, 0], 2, [9, 0]]
    assert got[7:] == ["00000000:1B:00.0", 13000, 81559 * 2**20, [200000, 700000], True, [1, 1], 105]


def test_nvitop_reads_every_device(nvml_stub: NvmlStub) -> None:
    pytest.importorskip("nvitop")
    code = """
    from nvitop import Device
    out([[d.name(), d.gpu_utilization(), d.memory_used() // 2**20, d.power_usage(), d.temperature(),
          [q.pid for q in d.processes().values()]] for d in Device.all()])
    """
    got = ask(nvml_stub.env("eight_gpus"), code, "")
    assert len(got) == 8 and all(row[0] == "NVIDIA H100 80GB HBM3" for row in got)
    assert [row[2] for row in got] == [62000, 71000, 41000, 16384, 0, 9000, 60000, 72000]
    assert got[3][1] == 0 and got[5][1] > 90 and got[6][4] == 88 and got[4][5] == []


def test_nvitop_reads_mig(nvml_stub: NvmlStub) -> None:
    pytest.importorskip("nvitop")
    code = "from nvitop import Device\nout([m.name() for m in Device.all()[0].mig_devices()])"
    assert [name.split()[-1] for name in ask(nvml_stub.env("mig"), code, "")] == [
        "3g.40gb",
        "2g.20gb",
        "1g.10gb",
    ]


def test_build_happens_once_for_the_same_sources(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    first = build_stub(tmp_path)
    built = (first / LIBRARY).stat().st_mtime_ns
    assert build_stub(tmp_path) == first and (first / LIBRARY).stat().st_mtime_ns == built
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_build_says_what_the_compiler_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(CompilerError, match="failed with exit code 1"):
        build_stub(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    with pytest.raises(CompilerError, match="no C compiler"):
        build_stub(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_program_can_tell_it_is_simulated(nvml_stub: NvmlStub) -> None:
    assert ask(nvml_stub.env("free"), "out(p.nvmlLib.advisorSimulatedNvml())") == 1
