"""stdout: results only, and nothing else in the program writes there.

A reader that goes away early (`advisor rules | head`) is not an error: what follows is dropped quietly
and the command's own exit code stands.
"""

from __future__ import annotations

import os
import sys

from advisor.cli.diagnostics import CliError, can_draw

DEFAULT_COLUMNS = 100
_GONE: list[bool] = []


def write(text: str) -> None:
    """Write `text` as it is and flush it, so that a reader sees results as they come.

    Raises CliError where it cannot be written, as on a full disk.
    """
    if sys.stdout is None:
        raise CliError("the report could not be written: stdout is closed", "send it somewhere: > FILE")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except UnicodeEncodeError:
        write(text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
    except BrokenPipeError:
        _GONE.append(True)
        discard_the_rest()
    except OSError as error:
        discard_the_rest()
        raise unwritten(error) from error


def is_gone() -> bool:
    """True once the reader has gone away: nothing more need be made for it."""
    return bool(_GONE)


def unwritten(error: OSError) -> CliError:
    """What to say of a result that stdout did not take."""
    return CliError(f"the report could not be written: {error.strerror or error}", "check where stdout goes")


def unicode() -> bool:
    """False where stdout's encoding has no block characters, so that ASCII must do."""
    return can_draw(getattr(sys.stdout, "encoding", None))


def write_record(record: object, indent: int | None = 2) -> None:
    """Write anything msgspec can encode as one JSON document, in ASCII where stdout takes nothing else.

    indent: None writes one line, for output that comes again and again.
    """
    from advisor.reports.jsontext import as_json

    write(as_json(record, unicode=unicode(), indent=indent))


def is_terminal() -> bool:
    """True when results go to a person's terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def use_color(env: os._Environ[str] | dict[str, str] = os.environ) -> bool:
    """Colour on a terminal that can show it, unless NO_COLOR is set; in a pipe only with FORCE_COLOR."""
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return is_terminal() and env.get("TERM") != "dumb"


def columns() -> int:
    """Width to lay results out for: COLUMNS, the terminal's, or 100 where there is none."""
    import shutil

    return max(40, shutil.get_terminal_size((DEFAULT_COLUMNS, 24)).columns)


def discard_the_rest() -> None:
    """Point stdout at nothing, so that the flush at exit does not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
