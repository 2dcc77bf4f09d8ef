"""The doctor: ids, what each check makes of what it sees, and a driver that hangs."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from advisor.cli.app import run_cli
from advisor.cli.checks.ceilings import ceilings_check
from advisor.cli.checks.check import Check, fail, ok, skip, warn
from advisor.cli.checks.environment import environment_checks, storage
from advisor.cli.checks.every import as_text
from advisor.cli.checks.host import FIRST_PID_NAMESPACE, host_checks
from advisor.cli.checks.libraries import library_checks, torch_cuda
from advisor.cli.checks.nvidia import nvidia_checks
from advisor.cli.checks.nvml_look import DeviceLook, NvmlLook, look
from advisor.store import Store
from tests.advisor.cli.harness import advisor, without_driver
from tests.advisor.streams import device
from tests.probes import reports

IDS = [
    "nvidia.driver", "nvidia.nvml", "nvidia.gpus", "nvidia.gpm", "nvidia.permissions", "nvidia.events",
    "nvidia.clocks", "nvidia.mig", "host.cgroup", "host.pid_namespace", "host.psi", "host.clocks",
    "host.ptrace", "python.pynvml", "python.torch", "python.cupy", "probes.ceilings", "prices.in_force",
    "terminal", "config", "storage",
]  # fmt: skip


def seen(*devices: DeviceLook) -> NvmlLook:
    return NvmlLook(driver="580.1", cuda="13.0", devices=devices)


def by_id(checks: list[Check]) -> dict[str, Check]:
    return {check.id: check for check in checks}


def nvidia(*devices: DeviceLook, root: Path = Path("/nowhere")) -> dict[str, Check]:
    return by_id(nvidia_checks(seen(*devices), root))


def test_every_check_without_a_driver(tmp_path: Path) -> None:
    done = advisor("doctor", "--json", env=without_driver(tmp_path))
    assert done.returncode == 3
    checks = msgspec.json.decode(done.stdout, type=dict)["checks"]
    assert [check["id"] for check in checks] == IDS
    found = {check["id"]: check for check in checks}
    assert found["nvidia.nvml"]["status"] == "fail"
    assert found["nvidia.gpm"]["status"] == "skip"
    assert all(check["fix"] for check in checks if check["status"] in ("warn", "fail"))


def test_text_has_one_greppable_line_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line[:4].strip() in ("ok", "warn", "fail", "skip")][
        : len(IDS)
    ] == IDS


def test_exit_code_is_0_when_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [ok("a", ""), warn("b", "", "x"), skip("c", "")]
    monkeypatch.setattr("advisor.cli.checks.every.every_check", lambda: checks)
    assert run_cli(["doctor"]) == 0
    checks.append(fail("d", "", "x"))
    assert run_cli(["doctor"]) == 3


def test_untrusted_text_is_escaped() -> None:
    assert "\x1b" not in as_text([warn("x", "name \x1b[2J", "do \x07")], color=False)


def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Put a script in the place of the interpreter that would look at NVML."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))


def test_a_hung_driver_does_not_hang_the_doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = 'import time\nprint(\'{"doing": "listing devices"}\', flush=True)\ntime.sleep(600)'
    worker(monkeypatch, tmp_path, code)
    begin = time.monotonic()
    found = look(timeout_s=2.0)
    assert time.monotonic() - begin < 30
    assert found == NvmlLook(hung="listing devices")
    check = by_id(nvidia_checks(found, Path("/nowhere")))["nvidia.nvml"]
    assert check.status == "fail"
    assert "hung while listing devices" in check.detail


def test_a_crash_in_the_driver_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker(monkeypatch, tmp_path, "print('not json')\nraise SystemExit(1)")
    assert "died while starting" in str(look(timeout_s=30.0).problem)


def test_healthy_gpus() -> None:
    found = nvidia(DeviceLook(info=device(0), sm_mhz=1980.0), DeviceLook(info=device(1), sm_mhz=345.0))
    assert {check.status for check in found.values()} == {"ok"}
    assert device(1).uuid in found["nvidia.gpus"].detail


def test_driver_without_gpus() -> None:
    assert nvidia()["nvidia.gpus"].status == "fail"


def test_no_gpm() -> None:
    found = nvidia(DeviceLook(info=device(0)), DeviceLook(info=device(1), gpm_problem="needs Hopper"))
    assert found["nvidia.gpm"].status == "warn"
    assert "1 of 2" in found["nvidia.gpm"].detail


def test_no_permission() -> None:
    refused = {"power": "no permission: the driver refuses this", "clocks": "not supported by this GPU"}
    check = nvidia(DeviceLook(info=device(0), refused=refused))["nvidia.permissions"]
    assert check.status == "warn"
    assert "power of GPU 0" in check.detail
    assert "clocks" not in check.detail


def test_profiling_for_root_alone_is_mentioned(tmp_path: Path) -> None:
    params = tmp_path / "proc/driver/nvidia/params"
    params.parent.mkdir(parents=True)
    params.write_text("ModifyDeviceFiles: 1\nRmProfilingAdminOnly: 1\n")
    assert "need root" in nvidia(DeviceLook(info=device(0)), root=tmp_path)["nvidia.permissions"].detail


def test_clocks_held_down() -> None:
    held = DeviceLook(info=device(0), clock_reasons=("hw_thermal", "sw_power_cap"))
    busy = DeviceLook(info=device(0), sm_mhz=1700.0, clock_reasons=("sw_power_cap",))
    deaf = msgspec.structs.replace(busy, events_problem="not supported by this GPU")
    assert nvidia(deaf)["nvidia.events"].status == "warn"
    assert nvidia(busy)["nvidia.events"].status == "ok"
    assert nvidia(held)["nvidia.clocks"].status == "warn"
    assert nvidia(busy)["nvidia.clocks"].status == "ok"


def test_mig_without_instances() -> None:
    parent = device(0, mig_enabled=True)
    instance = device(0, key="MIG-1", uuid="MIG-1", parent_key=parent.key, mig_profile="1g.10gb")
    assert nvidia(DeviceLook(info=parent))["nvidia.mig"].status == "warn"
    assert nvidia(DeviceLook(info=parent), DeviceLook(info=instance))["nvidia.mig"].status == "ok"


def host(root: Path, files: dict[str, str], inode: int | None = None) -> dict[str, Check]:
    """The host's checks below a made-up root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if inode is not None:
        (root / "proc/self/ns").mkdir(parents=True, exist_ok=True)
        (root / "proc/self/ns/pid").symlink_to(f"pid:[{inode}]")
    return by_id(host_checks(root))


def test_a_host_that_shows_nothing(tmp_path: Path) -> None:
    found = host(tmp_path, {})
    assert {id_: check.status for id_, check in found.items()} == {
        "host.cgroup": "warn",
        "host.pid_namespace": "skip",
        "host.psi": "warn",
        "host.clocks": "skip",
        "host.ptrace": "ok",
    }


def test_a_host_that_shows_everything(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cgroup.controllers": "cpu",
        "sys/fs/cgroup/cpu.max": "800000 100000\n",
        "proc/pressure/cpu": "some avg10=0.00",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "proc/sys/kernel/yama/ptrace_scope": "0\n",
    }
    found = host(tmp_path, files, FIRST_PID_NAMESPACE)
    assert {check.status for check in found.values()} == {"ok"}
    assert "800000 100000" in found["host.cgroup"].detail


def test_cgroup_v1(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu/cpu.stat": "nr_periods 0", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}
    assert host(tmp_path, files)["host.cgroup"].detail == "v1, no CPU limit at its root"


@pytest.mark.parametrize(
    ("file", "text", "id_", "status"),
    [
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "host.clocks", "warn"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "host.clocks", "warn"),
        ("proc/sys/kernel/yama/ptrace_scope", "1", "host.ptrace", "warn"),
    ],
)
def test_host_warnings(tmp_path: Path, file: str, text: str, id_: str, status: str) -> None:
    assert host(tmp_path, {file: text})[id_].status == status


def test_powersave_under_pstate_is_no_problem(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    files = {f"{folder}/scaling_governor": "powersave", f"{folder}/scaling_driver": "intel_pstate"}
    assert host(tmp_path, files)["host.clocks"].status == "ok"


def test_capability_allows_ptrace(tmp_path: Path) -> None:
    files = {"proc/sys/kernel/yama/ptrace_scope": "2", "proc/self/status": f"CapEff:\t{1 << 19:016x}\n"}
    assert host(tmp_path, files)["host.ptrace"].status == "ok"


def test_a_container_of_its_own(tmp_path: Path) -> None:
    assert host(tmp_path, {}, 4026532500)["host.pid_namespace"].status == "warn"


@pytest.mark.parametrize(
    ("version", "requires", "built"),
    [
        ("2.9.0+cu130", [], (13, 0)),
        ("2.6.0+cu124", [], (12, 4)),
        ("2.9.0", ["nvidia-cuda-runtime-cu12==12.8.90; platform_system == 'Linux'"], (12, 8)),
        ("2.11.0", ["filelock", "nvidia-cuda-runtime (==13.0.96)"], (13, 0)),
        ("2.9.0+cpu", ["filelock"], None),
        ("2.9.0+rocm6.4", [], None),
    ],
)
def test_cuda_of_a_torch_build(version: str, requires: list[str], built: tuple[int, int] | None) -> None:
    assert torch_cuda(version, requires) == built


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Make it look as if exactly these distributions were installed (underscores stand for hyphens)."""
    known = {name.replace("_", "-"): version for name, version in versions.items()}

    def version_of(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr("importlib.metadata.version", version_of)
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: [])


@pytest.mark.parametrize(
    ("versions", "driver", "id_", "status"),
    [
        ({"torch": "2.9.0+cu130"}, "13.0", "python.torch", "ok"),
        ({"torch": "2.9.0+cu128"}, "13.0", "python.torch", "ok"),
        ({"torch": "2.9.0+cu130"}, "12.8", "python.torch", "warn"),
        ({"torch": "2.9.0+cpu"}, "12.8", "python.torch", "warn"),
        ({"torch": "2.9.0+cu130"}, None, "python.torch", "ok"),
        ({}, "12.8", "python.torch", "skip"),
        ({"cupy_cuda12x": "13.6"}, "13.0", "python.cupy", "ok"),
        ({"cupy_cuda13x": "13.6"}, "12.4", "python.cupy", "warn"),
        ({"cupy_cuda12x": "13.6", "cupy_cuda13x": "13.6"}, "13.0", "python.cupy", "warn"),
        ({"cupy": "13.6"}, "13.0", "python.cupy", "ok"),
        ({}, None, "python.cupy", "skip"),
        ({"nvidia_ml_py": "13.6", "pynvml": "11.5.0"}, None, "python.pynvml", "warn"),
        ({"nvidia_ml_py": "13.6", "pynvml": "12.0.0"}, None, "python.pynvml", "ok"),
        ({}, None, "python.pynvml", "warn"),
    ],
)
def test_libraries(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], driver: str | None, id_: str, status: str
) -> None:
    installed(monkeypatch, **versions)
    assert by_id(library_checks(driver))[id_].status == status


def test_a_broken_configuration_fails(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("theme = 3\n")
    check = by_id(environment_checks({"ADVISOR_CONFIG": str(path)}))["config"]
    assert check.status == "fail"
    assert "theme" in check.detail


def test_storage_is_looked_for_where_files_would_be_written(tmp_path: Path) -> None:
    assert storage(tmp_path).status == "ok"
    assert str(tmp_path) in storage(tmp_path).detail
    missing = storage(tmp_path / "nowhere")
    assert missing.status == "warn"
    assert "cannot be written" in missing.detail


@pytest.mark.parametrize(
    ("driver", "extra"), [("12.4", "cuda12"), ("13.0", "cuda13"), ("14.1", "cuda13"), (None, "cuda12")]
)
def test_what_probes_need_is_named_for_this_driver(
    monkeypatch: pytest.MonkeyPatch, driver: str | None, extra: str
) -> None:
    installed(monkeypatch)
    for id_ in ("python.torch", "python.cupy"):
        check = by_id(library_checks(driver))[id_]
        assert "advisor probe needs it" in check.detail
        assert check.fix == f"pip install 'gpu-advisor[{extra}]'"


def test_looking_at_libraries_imports_none_of_them() -> None:
    code = (
        "import sys; from advisor.cli.checks.libraries import library_checks; library_checks('13.0'); "
        "from advisor.cli.checks.ceilings import ceilings_check; "
        "sys.exit(bool({'torch', 'cupy', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# --- ceilings ----------------------------------------------------------------------------------

NO_CONFIG = {"ADVISOR_CONFIG": "/dev/null"}


def probed(folder: Path, *cards: int, age_s: float = 2 * 86400.0, **changes: object) -> Store:
    """A store in which these GPUs were probed under the driver that `seen` names."""
    store = Store(folder / "ceilings")
    for index in cards:
        facts = reports.facts(index, key=device(index).key)
        report = reports.full(device=facts, versions={"driver": "580.1"}, t_s=time.time() - age_s)
        store.add(msgspec.structs.replace(report, **changes))
    return store


def ceilings(store: Store, *devices: DeviceLook, env: dict[str, str] | None = None) -> Check:
    return ceilings_check(seen(*devices), store, NO_CONFIG if env is None else env)


def test_ceilings_of_every_card(tmp_path: Path) -> None:
    both = (DeviceLook(info=device(0)), DeviceLook(info=device(1)))
    check = ceilings(probed(tmp_path, 0, 1), *both)
    assert (check.id, check.status) == ("probes.ceilings", "ok")
    assert check.detail == "GPU 0 measured 2 d ago; GPU 1 measured 2 d ago"


def test_a_card_that_was_never_probed(tmp_path: Path) -> None:
    both = (DeviceLook(info=device(0)), DeviceLook(info=device(1)))
    check = ceilings(probed(tmp_path, 1), *both)
    assert check.status == "warn"
    assert check.detail == "GPU 0 never measured; GPU 1 measured 2 d ago"
    assert "advisor probe" in check.fix


def test_ceilings_from_before_a_driver_change(tmp_path: Path) -> None:
    check = ceilings(probed(tmp_path, 0, versions={"driver": "570.9"}), DeviceLook(info=device(0)))
    assert check.status == "warn"
    assert "stale" in check.detail and "570.9" in check.detail and "580.1" in check.detail


def test_a_store_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = probed(tmp_path, 0)
    store.path(device(0).key).write_text("{}\n")
    check = ceilings(store, DeviceLook(info=device(0)))
    assert check.status == "warn"
    assert "cannot be read" in check.detail
    assert str(store.folder) in check.fix


def test_ceilings_that_are_not_wanted(tmp_path: Path) -> None:
    env = {**NO_CONFIG, "ADVISOR_USE_STORED_CEILINGS": "false"}
    check = ceilings(probed(tmp_path, 0), DeviceLook(info=device(0)), env=env)
    assert check.status == "skip"
    assert "not used" in check.detail


def test_ceilings_without_a_gpu(tmp_path: Path) -> None:
    assert ceilings(Store(tmp_path)).status == "skip"
    split_up = DeviceLook(info=device(0, mig_enabled=True))
    assert ceilings(Store(tmp_path), split_up).status == "skip"
