"""Fixtures for all tests: the simulated NVML library."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.nvml_stub.build import build_stub, compiler, default_cache
from tests.nvml_stub.scenarios import SCENARIOS

# How long one example takes says more of what else the machine does than of the code.
# Half of Hypothesis's own number of examples: every run draws others, and the suite has to end in time.
settings.register_profile("shared machine", deadline=None, max_examples=50)
settings.load_profile("shared machine")

# A shell that starts tests in its background, or under nohup, has them ignore these, and so the program too.
for _ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        signal.signal(_ignored, signal.default_int_handler if _ignored is signal.SIGINT else signal.SIG_DFL)


@dataclass(frozen=True)
class NvmlStub:
    """The compiled simulated library and a folder for scenario files."""

    library: Path
    scratch: Path
    cache: Path

    def env(self, scenario: dict[str, Any] | str, *, anchor: bool = False, **extra: str) -> dict[str, str]:
        """Environment for a subprocess that shall find this library and play the scenario.

        scenario: a dict, or the name of one in tests.nvml_stub.scenarios. anchor: time 0 is now, for every
        process that plays it, rather than each process's own first nvmlInit. extra: more variables.
        """
        document = SCENARIOS[scenario]() if isinstance(scenario, str) else scenario
        if anchor:
            document = {**document, "t0": time.time()}
        path = self.scratch / f"scenario-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(document))
        found = os.pathsep.join(filter(None, [str(self.library), os.environ.get("LD_LIBRARY_PATH")]))
        return {**os.environ, "LD_LIBRARY_PATH": found, "ADVISOR_NVML_SCENARIO": str(path), **extra}

    def without(self, omit: Sequence[str]) -> NvmlStub:
        """A library that lacks these functions, as an older driver's does."""
        return NvmlStub(build_stub(self.cache, omit), self.scratch, self.cache)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests keep by the way (ceilings, history) never gets among what this user keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVISOR_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


@pytest.fixture(scope="session")
def nvml_stub(tmp_path_factory: pytest.TempPathFactory) -> NvmlStub:
    """The simulated NVML library, compiled once and kept in the user's cache."""
    if compiler() is None:
        pytest.skip("no C compiler: the simulated NVML library cannot be built")
    cache = default_cache()
    if not _writable(cache):
        cache = tmp_path_factory.mktemp("nvml-build")
    return NvmlStub(build_stub(cache), tmp_path_factory.mktemp("nvml"), cache)
