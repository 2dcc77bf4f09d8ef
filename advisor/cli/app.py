"""The command line: its commands, and how their outcomes become exit codes."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from types import FrameType

import rich_click as click

from advisor import __version__
from advisor.cli import diagnostics, output
from advisor.cli.diagnostics import CliError, ExitCode
from advisor.cli.lazy import LazyGroup
from advisor.cli.options import duration_option, gpu_option, interval_option, json_option, price_option, typed

GROUPS = {
    "Look": ("diagnose", "run", "trace", "serving", "probe", "demo"),
    "Keep": ("record", "replay", "history", "report", "export", "bundle"),
    "Weigh": ("whatif", "compare"),
    "Understand": ("explain", "cost", "prices", "rules", "schema"),
    "Set up": ("doctor", "config"),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)
click.rich_click.COMMAND_GROUPS = {
    "advisor": [{"name": title, "commands": list(names)} for title, names in GROUPS.items()]
}
EPILOG = (
    "Exit codes: 0 fine, 1 findings at or over --fail-on, 2 usage or bad input, 3 cannot measure, "
    "70 a defect in advisor, 130 interrupted. Results go to stdout, everything else to stderr."
)

# What a write to a full or broken disk ends with.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.option("-1", "--once", is_flag=True, help="Print one report and exit, also on a terminal.")
@gpu_option
@duration_option("5s", "How long to look before printing one report.")
@interval_option
@price_option
@json_option
@click.version_option(__version__, prog_name="advisor", message="%(prog)s %(version)s")
@click.pass_context
def root(
    ctx: click.Context,
    once: bool,
    gpu: str | None,
    duration: float,
    interval: float | None,
    price: float | None,
    as_json: bool,
) -> int:
    """What limits a GPU workload, how that is known, what it wastes in $/h, and what to do.

    Without a command: the live screen on a terminal, one report elsewhere. Without an NVIDIA driver the
    bundled demo recording is shown instead, marked REPLAY with the reason.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_misplaced(ctx)
        return ExitCode.OK
    from advisor.cli.start import start

    return start(gpu=gpu, duration_s=duration, interval_s=interval, price=price, once=once, as_json=as_json)


def _refuse_misplaced(ctx: click.Context) -> None:
    """An option before the command would be silently ignored; say where it belongs."""
    for option in typed(ctx):
        raise click.UsageError(
            f"{option} goes after the command: advisor {ctx.invoked_subcommand} {option} ...", ctx
        )


def run_cli(args: Sequence[str]) -> int:
    """Run one command line and give its exit code; every error has been said on stderr by then."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        return _code(root.main(args=list(args), prog_name="advisor", standalone_mode=False))
    except click.ClickException as error:
        return _usage(error, args)
    except CliError as error:
        return diagnostics.fail(error)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except OSError as error:
        return _unwritten(error) if error.errno in NO_ROOM else diagnostics.crash(error)
    except Exception as error:
        return diagnostics.crash(error)


def _unwritten(error: OSError) -> int:
    """Help or version that stdout did not take: Click wrote it, past our own writer."""
    output.discard_the_rest()
    return diagnostics.fail(output.unwritten(error))


def _code(result: object) -> int:
    return int(result) if isinstance(result, int) else ExitCode.OK


def _usage(error: click.ClickException, args: Sequence[str]) -> int:
    """A wrong command line, and where its help is."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else _named(args)
    return diagnostics.fail(CliError(error.format_message(), f"{where} --help"))


def _named(args: Sequence[str]) -> str:
    """The command that a line names: Click's parser does not say where an option lacks its argument."""
    command: click.Command | None = root
    words = ["advisor"]
    for word in args:
        inner = (
            command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        )
        if inner is None:
            break
        command, words = inner, [*words, word]
    return " ".join(words)


def _leave(signum: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like any exit, so that the sampler is stopped and files are closed."""
    raise SystemExit(128 + signum)
