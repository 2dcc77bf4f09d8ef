"""Redaction: secrets, user names, home directories and host names leave a document before it leaves the node.

Names become pseudonyms, not anonymity: the hash is stable, so that two tickets about one node can be told to
be, and whoever has a list of candidate names can try them. Secrets are replaced, never hashed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from advisor.reports.redact_frames import REMOVED, frames_of, shortened, without_folders
from advisor.reports.redact_text import SECRET_KINDS, redact_line, redact_text
from advisor.reports.trace_redact import FOLDERS, TraceNames, with_clean_keys

if TYPE_CHECKING:
    from advisor.document import Diagnosis
    from advisor.telemetry.records import Frame, Hello, Message, ProcessSample
    from rules.stacks import Stacks

_Record = TypeVar("_Record")
# What a recording says about itself before anything in it is known.
RECORDING_REDACTIONS = (
    "secrets in command lines removed",
    "user names hashed",
    "host name hashed",
    "home paths shortened",
    REMOVED,
)

_SALT = b"gpu-advisor pseudonym v1\0"
_HOST_HASH = re.compile(r"node-[0-9a-f]{6}")
_USER_HASH = re.compile(r"user:[0-9a-f]{6}")


def host_hash(hostname: str) -> str:
    """A pseudonym for a host such as "node-7f3a1c": the same name gives the same one, everywhere."""
    return "node-" + _digest("host:" + hostname)


def user_hash(user: str) -> str:
    """A pseudonym for a user such as "user:7f3a1c": the same name gives the same one, everywhere."""
    return user if _USER_HASH.fullmatch(user) else "user:" + _digest("user:" + user)


def _digest(text: str) -> str:
    return hashlib.sha256(_SALT + text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def redact_message(message: Message) -> Message:
    """A message of the stream as a recording keeps it: user names hashed, no secrets, no home directories."""
    from advisor.telemetry import records

    if isinstance(message, records.Frame):
        return _redact_frame(message)
    if isinstance(message, records.Hello):
        return redact_hello(message)
    if isinstance(message, records.StackLook):
        return _replace(message, stacks=_redact_stacks(message.stacks))
    if isinstance(message, records.EngineLook):
        readings = (_replace(r, model=r.model and redact_text(r.model)[0]) for r in message.readings)
        return _replace(message, readings=tuple(readings), problem=redact_text(message.problem)[0])
    return _replace(message, reason=redact_text(message.reason)[0])


def _redact_stacks(stacks: Stacks) -> Stacks:
    """Names of threads, functions and files are the program's own."""
    groups = (
        _replace(g, thread=redact_text(g.thread)[0], frame=redact_text(without_folders(g.frame))[0])
        for g in stacks.groups
    )
    missing = None if stacks.missing is None else redact_text(stacks.missing)[0]
    return _replace(stacks, groups=tuple(groups), missing=missing)


def _replace(record: _Record, **changes: Any) -> _Record:
    import msgspec

    return cast(_Record, msgspec.structs.replace(cast(Any, record), **changes))


def _redact_frame(frame: Frame) -> Frame:
    if not frame.processes:
        return frame
    return _replace(frame, processes=tuple(_redact_process(process) for process in frame.processes))


def _redact_process(process: ProcessSample) -> ProcessSample:
    return _replace(
        process,
        name=redact_text(process.name)[0],
        command=None if process.command is None else redact_text(process.command)[0],
        user=None if process.user is None else user_hash(process.user),
        missing={name: redact_text(reason)[0] for name, reason in process.missing.items()},
    )


def redact_hello(hello: Hello) -> Hello:
    """A stream's header as a recording keeps it."""
    label = hello.host.label and redact_text(hello.host.label)[0]
    return _replace(
        hello,
        host=_replace(hello.host, host=_hashed_host(hello.host.host), label=label),
        note=redact_text(hello.note)[0],
        redacted=_merged(hello.redacted, RECORDING_REDACTIONS),
    )


def _hashed_host(host: str) -> str:
    """The pseudonym; of a host that is not known, nothing."""
    return host if not host or _HOST_HASH.fullmatch(host) else host_hash(host)


def _merged(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def redact_diagnosis(diagnosis: Diagnosis, keep: bool = False) -> Diagnosis:
    """The document without secrets, home directories, user names and host name; as it was with keep=True.

    What went is added to `provenance.redacted`. Redacting twice changes nothing.
    """
    if keep:
        return diagnosis
    import msgspec

    users = {v.workload.user for v in diagnosis.verdicts if v.workload is not None and v.workload.user}
    users = {user for user in users if not _USER_HASH.fullmatch(user)}
    walker = _Walker(users, frames_of(diagnosis), TraceNames(diagnosis.trace, host_hash))
    document = walker.walk(msgspec.to_builtins(diagnosis))
    with_clean_keys(document, walker.walk)
    for row in (*document["verdicts"], *(each["evidence"] for each in document["observed"])):
        if row["workload"] is not None and row["workload"]["user"]:
            row["workload"]["user"] = user_hash(row["workload"]["user"])
    provenance = document["provenance"]
    provenance["command"] = walker.command(diagnosis.provenance.command)
    provenance["host"] = _hashed_host(diagnosis.provenance.host)
    summary = walker.summary(named_host=bool(diagnosis.provenance.host))
    provenance["redacted"] = _merged(diagnosis.provenance.redacted, summary)
    return msgspec.convert(document, type(diagnosis))


def redact_record(record: _Record) -> _Record:
    """Any record without secrets and home directories in its texts."""
    import msgspec

    return msgspec.convert(
        _Walker((), {}, TraceNames(None, host_hash)).walk(msgspec.to_builtins(record)), type(record)
    )


class _Walker:
    """Redacts every string of a document, each distinct one once, and counts what was removed."""

    def __init__(self, users: Iterable[str], frames: Mapping[str, str], traced: TraceNames) -> None:
        self._users = sorted(users)
        self._frames = frames
        self._traced = traced
        self._clean: dict[str, str] = {}
        self._kinds: Counter[str] = Counter()

    def walk(self, node: Any) -> Any:
        if isinstance(node, str):
            return self._text(node)
        if isinstance(node, dict):
            return {key: self.walk(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self.walk(value) for value in node]
        return node

    def command(self, line: str) -> str:
        """A command line, whose words tell more than its text: what only they gave away is counted too."""
        line = self._traced.command(line)
        clean, kinds = redact_line(line)
        self._kinds.update(Counter(kinds) - Counter(redact_text(line)[1]))
        return self._without_users(self._traced.clean(clean))

    def _text(self, text: str) -> str:
        if text not in self._clean:
            clean, kinds = redact_text(self._traced.clean(shortened(text, self._frames)))
            self._kinds.update(kinds)
            self._clean[text] = self._without_users(clean)
        return self._clean[text]

    def _without_users(self, text: str) -> str:
        """User names inside paths and before an @; elsewhere a name may be an ordinary word."""
        for user in self._users:
            name = re.escape(user)
            text = re.sub(rf"(?<=/){name}(?=/|\Z)|(?<![\w.-]){name}(?=@)", lambda _: user_hash(user), text)  # noqa: B023
        return text

    def summary(self, *, named_host: bool) -> list[str]:
        """What was removed, a line each. named_host: whether the document said of which node it is."""
        secrets = sum(self._kinds[kind] for kind in SECRET_KINDS)
        lines = [f"{secrets} command-line secret{'s' if secrets > 1 else ''}"] if secrets else []
        lines += ["user names hashed"] if self._users else []
        lines += ["home paths shortened"] if self._kinds["home path"] else []
        lines += [FOLDERS] if self._traced.removed else []
        lines += [REMOVED] if self._frames else []
        return [*lines, *(["host name hashed"] if named_host or self._traced.hashed else [])]
