"""Threads pinned to cores."""

from __future__ import annotations

import os
import threading

import pytest

from probes.team import Team


def test_each_job_runs_on_its_core_and_the_callers_affinity_stays() -> None:
    before = os.sched_getaffinity(0)
    with Team(sorted(before)) as team:
        seen = team.run([lambda: os.sched_getaffinity(0)] * len(before))
    assert seen == [{core} for core in sorted(before)]
    assert os.sched_getaffinity(0) == before


def test_an_error_is_raised_once_all_are_over_and_the_team_goes_on() -> None:
    over = []

    def fail() -> None:
        raise ValueError("broken")

    with Team([0, 0]) as team:
        with pytest.raises(ValueError, match="broken"):
            team.run([fail, lambda: over.append(1)])
        assert over == [1]
        assert team.run([lambda: 1, lambda: 2]) == [1, 2]
    assert not any(thread.name.startswith("team-") for thread in threading.enumerate())


def test_a_core_that_is_not_there_leaves_the_thread_free() -> None:
    with Team([9999]) as team:
        assert team.run([lambda: os.sched_getaffinity(0)]) == [os.sched_getaffinity(0)]
