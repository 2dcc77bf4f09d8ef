"""`advisor doctor`: what works on this node, what does not, and what to do about it."""

from __future__ import annotations

import rich_click as click

from advisor.cli.options import json_option


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check the driver, NVML, GPM, permissions, the container's view, clocks, libraries and configuration.

    Every check has a stable id. Exits 0 when none fails and 3 when one does: nothing can be measured then.
    """
    from advisor.cli import output
    from advisor.cli.checks.every import as_text, every_check
    from advisor.cli.diagnostics import ExitCode

    checks = every_check()
    if as_json:
        output.write_record({"schema_version": 1, "checks": checks})
    else:
        output.write(as_text(checks, output.use_color()))
    failed = any(check.status == "fail" for check in checks)
    return ExitCode.CANNOT_MEASURE if failed else ExitCode.OK
