"""XIDs: what the driver's error numbers mean, how grave they are, and what to do.

Numbers, meanings and immediate actions follow NVIDIA's Xid catalogue for Ampere and newer
(https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html); the wording is advisor's own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# Whose matter it is: the program's own; the GPU's memory; its firmware or state, mended by a reset; its
# links; the card or slot itself; or the trace of an error that another XID names.
Kind = Literal["program", "memory", "reset", "link", "card", "trace", "unlisted"]

CATALOGUE_URL = "https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"


class Xid(NamedTuple):
    """One number: what it says, and whose matter it is."""

    number: int
    meaning: str
    kind: Kind


_LISTED: tuple[Xid, ...] = (
    Xid(8, "the GPU stopped processing a channel", "program"),
    Xid(11, "an invalid command stream", "program"),
    Xid(13, "a compute engine exception, as by an access out of bounds", "program"),
    Xid(25, "an illegal command stream", "program"),
    Xid(31, "a page fault: a kernel touched memory that is not mapped", "program"),
    Xid(32, "a corrupted command stream", "program"),
    Xid(39, "a copy engine exception", "program"),
    Xid(40, "a copy engine exception", "program"),
    Xid(41, "a copy engine exception", "program"),
    Xid(43, "the GPU stopped processing for this program", "program"),
    Xid(44, "an engine fault during a context switch", "program"),
    Xid(45, "work was removed after an earlier error, or its process was killed", "trace"),
    Xid(46, "the GPU stopped processing", "reset"),
    Xid(48, "an uncorrectable memory error (double bit)", "memory"),
    Xid(54, "the board's extra power is not connected", "card"),
    Xid(62, "the GPU's power-management controller halted", "reset"),
    Xid(63, "a memory row was set aside for a spare one", "memory"),
    Xid(64, "a memory row could not be set aside", "memory"),
    Xid(69, "a program used an engine in a way it does not have", "program"),
    Xid(74, "an NVLink error; the other end of the link may be at fault", "link"),
    Xid(79, "the GPU has fallen off the bus", "card"),
    Xid(92, "a high rate of corrected memory errors", "memory"),
    Xid(94, "an uncorrectable memory error, contained to the program that met it", "memory"),
    Xid(95, "an uncorrectable memory error that was not contained", "memory"),
    Xid(109, "a context switch timed out", "reset"),
    Xid(119, "the GPU's system processor (GSP) did not answer in time", "reset"),
    Xid(120, "an error in the GPU's system processor (GSP)", "reset"),
    Xid(121, "an error on the chip-to-chip link", "link"),
    Xid(136, "a link failed to train", "link"),
    Xid(137, "an NVLink access that the far end refused", "program"),
    Xid(140, "unrecovered memory errors", "memory"),
    Xid(143, "the GPU failed to initialise", "reset"),
    Xid(144, "an NVLink error", "link"),
    Xid(145, "an NVLink error", "link"),
    Xid(146, "an NVLink error", "link"),
    Xid(147, "an NVLink error", "link"),
    Xid(148, "an NVLink error", "link"),
    Xid(149, "an NVLink error", "link"),
    Xid(150, "an NVLink error", "link"),
    Xid(154, "the driver changed what it recommends for recovery", "trace"),
    Xid(156, "a part of the GPU was retired", "memory"),
    Xid(157, "a part of the GPU could not be retired", "memory"),
    Xid(158, "a fatal timeout in the GPU", "reset"),
)
_BY_NUMBER = {xid.number: xid for xid in _LISTED}

# After these no work on the GPU can be trusted, or none is possible, until somebody acts.
CRITICAL = frozenset({46, 48, 54, 62, 64, 79, 95, 109, 119, 120, 140, 143, 158})
# These tell of damage that was dealt with, or repeat what another one says.
MILD = frozenset({45, 63, 154})


def known(number: int) -> Xid:
    """What is known of an XID; one that is not listed says so."""
    return _BY_NUMBER.get(number, Xid(number, "an error that is not listed here", "unlisted"))


def gravest(numbers: tuple[int, ...]) -> Xid:
    """The gravest of them; of equals the first. Raises ValueError where there are none."""
    return known(min(numbers, key=_gravity))


def _gravity(number: int) -> int:
    if number in CRITICAL:
        return 0
    if number in MILD:
        return 3
    return 2 if known(number).kind == "program" else 1
