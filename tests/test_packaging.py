"""Wheel and sdist: what is inside, and that a wheel works where the source tree is not."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from advisor import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# Everything in the three packages that is no Python is data somebody reads at run time.
DATA = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("advisor", "probes", "rules")
    for path in (ROOT / package).rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist. The wheel is made from the sdist, as pip would make it."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def wheel_in(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def test_the_data_files_that_must_be_there_are_known() -> None:
    for name in ("advisor/data/gpu_prices.csv", "probes/gpu_specs.csv", "advisor/tui/app.tcss"):
        assert name in DATA
    assert {f"{package}/py.typed" for package in ("advisor", "probes", "rules")} <= set(DATA)
    assert any(name.startswith("advisor/data/") and ".jsonl" in name for name in DATA), "no demo recording"


def test_the_wheel_holds_code_data_and_license(built: Path) -> None:
    with zipfile.ZipFile(wheel_in(built)) as wheel:
        names = set(wheel.namelist())
    assert set(DATA) <= names
    assert "advisor/__main__.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "advisor",
        "probes",
        "rules",
    }


def test_the_sdist_holds_tests_and_docs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(DATA) <= names
    wanted = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "tests/test_packaging.py"}
    assert wanted <= names
    assert "tests/nvml_stub/src/model.c" in names


@pytest.fixture(scope="module")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel installed, and this one's dependencies beside it.

    The dependencies come by path and not from an index, so that no network is needed.
    """
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    here = sysconfig.get_paths()["purelib"]
    python = folder / "bin" / "python"
    there = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel_in(built),
    ]
    subprocess.run(install, check=True, capture_output=True)
    # A plain path line: .pth files of that folder (the editable install among them) are not read.
    (Path(there) / "dependencies.pth").write_text(here + "\n")
    return folder / "bin"


def run(clean: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The installed script, away from the source tree."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [clean / "advisor", *args], cwd=clean, env=env, capture_output=True, text=True, check=False
    )


def test_the_installed_package_is_the_wheels(clean: Path) -> None:
    script = "import advisor, probes, rules; print(advisor.__file__, probes.__file__, rules.__file__)"
    done = subprocess.run(
        [clean / "python", "-c", script], cwd=clean, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(clean.parent)) for path in done.stdout.split())


def test_the_installed_program_runs(clean: Path) -> None:
    assert run(clean, "--version").stdout == f"advisor {__version__}\n"
    rules = run(clean, "rules")
    assert rules.returncode == 0, rules.stderr
    assert len(rules.stdout.splitlines()) >= 12
    assert run(clean, "schema").returncode == 0


def test_the_installed_demo_prints_its_diagnosis(clean: Path) -> None:
    done = run(clean, "demo", "--once")
    assert done.returncode == 0, done.stderr
    assert "GPU" in done.stdout
