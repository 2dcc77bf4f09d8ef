"""The byte that says what the sampler process is doing."""

from __future__ import annotations

from contextlib import closing

import pytest

from advisor.telemetry.phase import VARIABLE, Phase, PhaseReader, PhaseWriter, silence


def test_what_is_written_on_one_side_is_read_on_the_other() -> None:
    with closing(PhaseReader()) as reader:
        assert reader.read() is Phase.STARTING
        writer = PhaseWriter({VARIABLE: str(reader.fd)})
        for phase in Phase:
            writer.set(phase)
            assert reader.read() is phase
        reader.close()


@pytest.mark.parametrize("environment", [{}, {VARIABLE: "no number"}, {VARIABLE: "987654"}])
def test_without_the_memory_a_writer_does_nothing(environment: dict[str, str]) -> None:
    PhaseWriter(environment).set(Phase.GPM)


def test_only_the_driver_is_blamed_for_the_driver() -> None:
    blamed = {phase for phase in Phase if silence(phase) == "driver not answering since"}
    assert blamed == {Phase.STARTING, Phase.DEVICES, Phase.GPM, Phase.GPU_PROCESSES}
