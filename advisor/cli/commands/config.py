"""`advisor config`: make, show, check and find the configuration file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from advisor.cli.options import json_option


@click.group("config")
def command() -> None:
    """Make, show, check and find the configuration file. A flag beats ADVISOR_*, which beats the file."""


@command.command("init")
@click.option("-f", "--force", is_flag=True, help="Replace the file if it exists.")
def init(force: bool) -> int:
    """Write a commented configuration file with every setting at its default."""
    from advisor.cli.diagnostics import CliError, ExitCode, note
    from advisor.config import template
    from advisor.locations import config_file
    from advisor.reports.errors import WriteError
    from advisor.reports.files import write_atomic

    path = config_file()
    if path.exists() and not force:
        raise CliError(f"{path} exists already", "edit it, or replace it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, template().encode())
    except WriteError as error:
        raise CliError(str(error), error.fix) from error
    except OSError as error:
        raise CliError(f"cannot create {path.parent}: {error.strerror}", "check its permissions") from error
    note(f"wrote {path}")
    return ExitCode.OK


@command.command("path")
@json_option
def path(as_json: bool) -> int:
    """Print where the configuration file is, or would be."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.locations import config_file

    found = config_file()
    if as_json:
        output.write_record({"path": str(found), "exists": found.exists()})
    else:
        output.write(f"{found}\n")
    return ExitCode.OK


@command.command("print")
@json_option
def show(as_json: bool) -> int:
    """Print every setting in force as TOML, with where its value came from."""
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode
    from advisor.cli.inputs import load_config
    from advisor.config import to_toml

    config = load_config()
    if as_json:
        output.write_record(config)
    else:
        output.write(to_toml(config))
    return ExitCode.OK


@command.command("validate")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def check(file: Path | None, as_json: bool) -> int:
    """Check FILE, or the configuration file; exits 2 and names every problem when there is one.

    A price of a model that advisor does not know is a warning: it may be misspelt.
    """
    from advisor.cli import output
    from advisor.cli.diagnostics import ExitCode, warn
    from advisor.config import load, validate
    from advisor.locations import config_file
    from advisor.price_entries import entry_warnings

    where = file or config_file()
    absent = file is None and not where.exists()
    problems = () if absent else validate(where)
    doubts = () if absent or problems else entry_warnings(load({}, {}, where).prices)
    if as_json:
        told = {"path": str(where), "valid": not problems, "problems": problems, "warnings": doubts}
        output.write_record(told)
    else:
        for text in doubts:
            warn(text)
        state = "does not exist; defaults are in force" if absent else "is valid"
        output.write("".join(f"{line}\n" for line in problems or (f"{where} {state}",)))
    return ExitCode.USAGE if problems else ExitCode.OK
