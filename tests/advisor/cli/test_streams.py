"""One module owns stdout, one owns stderr; nothing else in the packages writes to either."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import advisor

ROOT = Path(advisor.__file__).parent.parent
OWNERS = {"advisor/cli/output.py": "stdout", "advisor/cli/diagnostics.py": "stderr"}
# The sampler's own process: its stdout is the pipe the stream goes through.
STREAM_PROCESS = "advisor/telemetry/worker.py"


def written_streams(tree: ast.AST) -> Iterator[str]:
    """Names of the streams that code writes to: print, click.echo, sys.stdout.write, sys.stderr..."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("print", "click.echo", "click.secho", "echo"):
            yield name
        for stream in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"):
            if name.startswith((f"{stream}.write", f"{stream}.buffer")):
                yield stream.removeprefix("sys.")


def test_only_the_owners_write() -> None:
    found = {}
    for folder in ("advisor", "rules"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            where = str(path.relative_to(ROOT))
            streams = set(written_streams(ast.parse(path.read_text())))
            if streams and where != STREAM_PROCESS:
                found[where] = streams
    assert found == {where: {stream} for where, stream in OWNERS.items()}


def test_the_check_sees_a_write() -> None:
    assert list(written_streams(ast.parse("import sys\nsys.stderr.write('x')\nprint(1)"))) == [
        "stderr",
        "print",
    ]
