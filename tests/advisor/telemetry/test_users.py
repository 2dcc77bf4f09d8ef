"""User names come from the system, and never hold telemetry up."""

from __future__ import annotations

import os
import pwd
import threading

from advisor.telemetry.users import UserNames


def test_the_name_of_this_user() -> None:
    assert UserNames(patience_s=5).of(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name


def test_an_unknown_user_is_a_number() -> None:
    def lookup(uid: int) -> str:
        raise KeyError(uid)

    assert UserNames(lookup).of(4711) == "uid:4711"


def test_a_directory_that_hangs_is_asked_once_and_not_waited_for() -> None:
    release, asked = threading.Event(), []

    def lookup(uid: int) -> str:
        asked.append(uid)
        release.wait(30)
        return "alice"

    names = UserNames(lookup, patience_s=0.01)
    assert names.of(7) == names.of(7) == "uid:7"
    assert asked == [7]
    release.set()
    for thread in threading.enumerate():
        if thread.name == "user-names":
            thread.join(30)
    assert names.of(7) == "alice"
