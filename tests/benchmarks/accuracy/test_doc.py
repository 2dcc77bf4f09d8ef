"""docs/accuracy.md: its commands exist, and its results are of a GPU or none."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.accuracy.corpus import found_folders
from benchmarks.accuracy.report import NO_REAL

ROOT = Path(__file__).resolve().parents[3]
DOC = (ROOT / "docs" / "accuracy.md").read_text()
COMMANDS = re.findall(r"^python .*$", "\n".join(re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)), re.MULTILINE)


def source_of(words: list[str]) -> Path:
    """The file that a command line runs."""
    if words[1] != "-m":
        return ROOT / words[1]
    module = ROOT.joinpath(*words[2].split("."))
    return module / "__main__.py" if module.is_dir() else module.with_suffix(".py")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)
    code = source_of(words).read_text()
    options = [word for word in words if word.startswith("-") and word != "-m"]
    if "probes" not in words:
        assert all(f'"{option}"' in code for option in options), f"{source_of(words)} lacks one of {options}"


def test_the_page_has_the_commands_it_is_about() -> None:
    assert len(COMMANDS) >= 8


def test_results_are_of_a_gpu_or_there_are_none() -> None:
    found = re.search(r"<!-- results: .*? -->\n\n(.*?)\n\n<!-- end of results -->", DOC, re.DOTALL)
    assert found is not None
    if not found_folders():
        assert found[1] == NO_REAL
    else:
        assert NO_REAL not in found[1] and "SYNTHETIC" not in found[1]
