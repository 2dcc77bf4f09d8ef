"""One check of the doctor: a stable id, how it went, what was seen, and what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["ok", "warn", "fail", "skip"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """id is stable and greppable. fix is empty where there is nothing to do.

    warn: works, with less than there could be. fail: `advisor diagnose` cannot work. skip: does not apply.
    """

    id: str
    status: Status
    detail: str
    fix: str = ""


def ok(id_: str, detail: str) -> Check:
    """All is well."""
    return Check(id=id_, status="ok", detail=detail)


def warn(id_: str, detail: str, fix: str) -> Check:
    """Something is missing that would help."""
    return Check(id=id_, status="warn", detail=detail, fix=fix)


def fail(id_: str, detail: str, fix: str) -> Check:
    """Nothing can be measured like this."""
    return Check(id=id_, status="fail", detail=detail, fix=fix)


def skip(id_: str, detail: str, fix: str = "") -> Check:
    """Not applicable here, or not wanted."""
    return Check(id=id_, status="skip", detail=detail, fix=fix)
