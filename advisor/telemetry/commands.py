"""What a command line is worth keeping: a name for the process, and the flags that can explain a cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from advisor.reports.escape import terminal
from advisor.reports.redact_text import REDACTED, is_secret_name, redact_text

NAME_LIMIT = 64
COMMAND_LIMIT = 256
OMITTED = "…"
SPAWNED = "multiprocessing.spawn"

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:t|d|-dbg)?")
_PYTHON_VALUE_OPTIONS = ("-W", "-X", "--check-hash-based-pycs")
_FLAG = re.compile(r"--[A-Za-z][\w.-]{0,63}|-[A-Za-z][\w.-]{0,2}")
# One letter with its value right behind it, as in `-pPASSWORD`.
_GLUED = re.compile(r"-[A-Za-z]")
# Values that say how much or which precision. Any other value may be a name, a path, a prompt or a secret.
_PLAIN_VALUE = re.compile(
    r"[+-]?\d{1,12}(?:\.\d{1,9})?(?:e[+-]?\d{1,3})?[kmg]?|true|false|yes|no|on|off|none|null|auto|cuda(?::\d{1,3})?|cpu"
    r"|(?:t|b)?f(?:loat|p)?(?:8|16|32|64)(?:_e\dm\d)?|bfloat16|u?int(?:4|8|16|32)|half|nf4|(?:b?fp?16|16)[-_]mixed",
    re.IGNORECASE,
)


def process_name(argv: Sequence[str], comm: str) -> str:
    """A short name: the script or module of an interpreter, else the program; one printable line.

    comm: the kernel's name of the process, for one without a command line.
    """
    name = _target(argv) if argv and argv[0].strip() else comm
    return terminal(redact_text(name)[0]).strip()[:NAME_LIMIT] or "?"


def short_command(argv: Sequence[str]) -> str | None:
    """Program, script and flags. Values are kept where they are counts or precisions, secrets never.

    Everything else, positional arguments too, is shown as an ellipsis. None without a command line.
    """
    if not argv or not argv[0].strip():
        return None
    program, consumed = _head(argv)
    words = [*program, *_arguments(argv[consumed:])]
    return terminal(redact_text(" ".join(words))[0])[:COMMAND_LIMIT]


def what_runs(argv: Sequence[str], comm: str) -> str:
    """The program, script or module that runs, or the code given to an interpreter; never shown as it is."""
    if not argv or not argv[0].strip():
        return comm
    position, kind = _python_target(argv) if _PYTHON.fullmatch(_program(argv)) else (0, "program")
    return argv[position] if kind == "code" else _target(argv)


def _target(argv: Sequence[str]) -> str:
    """What is run, as one word."""
    program = _program(argv)
    position, kind = _python_target(argv) if _PYTHON.fullmatch(program) else (0, "program")
    if kind == "code":
        return SPAWNED if "spawn_main(" in argv[position] else f"{program} -c"
    if kind == "program":
        return program
    return argv[position] if kind == "module" else _base(argv[position])


def _head(argv: Sequence[str]) -> tuple[list[str], int]:
    """The words that name what is run, and how many arguments they took."""
    program = _program(argv)
    if not _PYTHON.fullmatch(program):
        return [program], 1
    position, kind = _python_target(argv)
    if kind == "code":
        return [program, "-c", OMITTED], position + 1
    if kind == "module":
        return [program, "-m", argv[position]], position + 1
    return [program, *([_base(argv[position])] if position else [])], position + 1


def _python_target(argv: Sequence[str]) -> tuple[int, str]:
    """Where the script, module or code of a Python command is, and which it is; (0, "program") without."""
    position = 1
    while position < len(argv):
        word = argv[position]
        if not word.startswith("-"):
            return position, "script"
        if not word.startswith("--") and word[-1:] in "mc" and word[1:2] not in ("W", "X") and len(word) > 1:
            follows = position + 1 < len(argv)
            return (position + 1, "module" if word[-1] == "m" else "code") if follows else (0, "program")
        position += 2 if word in _PYTHON_VALUE_OPTIONS else 1
    return 0, "program"


def _base(word: str) -> str:
    return PurePosixPath(word).name or word


def _program(argv: Sequence[str]) -> str:
    """The program's file name; the first word of it where the process has put a title in its place."""
    return _base(argv[0] if len(argv) > 1 else argv[0].split(maxsplit=1)[0])


def _arguments(arguments: Sequence[str]) -> list[str]:
    words: list[str] = []
    flag = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if _FLAG.fullmatch(name):
            words.append(f"{name}={_value(name, value)}" if equals else name)
            flag = "" if equals else name
        elif glued := _GLUED.match(argument):
            words.append(glued[0] + OMITTED)
            flag = ""
        else:
            words.append(_value(flag, argument))
            flag = ""
    return _without_repeats(words)


def _value(flag: str, value: str) -> str:
    if flag and is_secret_name(flag) and not re.search(r"(?i)tokens(?![a-z])", flag):
        return REDACTED
    return value if flag and _PLAIN_VALUE.fullmatch(value) else OMITTED


def _without_repeats(words: Sequence[str]) -> list[str]:
    """Several omitted arguments in a row are one ellipsis."""
    pairs = zip(words, ["", *words], strict=False)
    return [word for word, before in pairs if not word == before == OMITTED]
