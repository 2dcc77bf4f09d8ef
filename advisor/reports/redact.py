"""Redaction: secrets, user names, home directories and host names leave a document before it leaves the node.

Names become pseudonyms, not anonymity: the hash is stable, so that two tickets about one node can be told to
be, and whoever has a list of candidate names can try them. Secrets are replaced, never hashed.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from advisor.reports.redact_frames import REMOVED, frames_of, shortened, without_folders

if TYPE_CHECKING:
    from advisor.document import Diagnosis
    from advisor.telemetry.records import Frame, Hello, Message, ProcessSample
    from rules.stacks import Stacks

REDACTED = "REDACTED"
SECRET_KINDS = ("private key", "URL credentials", "authorization header", "named secret", "key or token")

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

_SENSITIVE = r"secret|passw|passphrase|passwd|pwd|credential|token|access|key|cookie|auth|signature"
_SENSITIVE_NAME = re.compile(
    rf"(?i){_SENSITIVE}|(?<![a-z])api|api(?![a-z])|apikey|(?:^|[_.-])(?:sig|sas|pw|pin)$"
)
# Names that hold one of those words and no secret. What is left of a name without them decides.
_HARMLESS_NAME = re.compile(
    r"(?i)tokeniz\w*|(?:num[_-]?)?(?:key[_-]?value|kv)[_-]?heads?|key[_-]?(?:frame|point|board)s?|monkey"
    r"|author(?!iz)s?\w*|api[_-]?server[_-]?count|enable[_-]?auto[_-]?tool\w*|trust[_-]?remote\w*"
)
_COUNT_NAME = re.compile(r"(?i)tokens(?![a-z])")
_COUNT = re.compile(r"[+-]?[\d_,]{1,9}(?:\.\d{1,6})?[kKmM]?|true|false|auto|none|null", re.IGNORECASE)

_NAME = r"\w[\w.-]*"
_QUOTED = r"\"(?:[^\"\\]|\\.){0,4096}\"|'[^']*'"
_VALUE = rf"(?:{_QUOTED}|\\.|\S)+"
_VALUE_PATTERN = re.compile(_VALUE, re.DOTALL)
_FLAG_VALUE = re.compile(rf"(?!--){_VALUE}", re.DOTALL)
_PAIR_VALUE = re.compile(rf"(?:{_QUOTED})(?=[\s,}}\]]|\Z)|{_VALUE}", re.DOTALL)
_START = r"(?:(?<![\w-])-+|(?<![\w.-]))"
# NAME=value and --name=value; --name value; name: value and "name": "value"
_ASSIGNED = re.compile(rf"(?P<name>{_START}{_NAME})\s*[+:?]?=\s*")
_FLAG = re.compile(rf"(?P<name>(?<![\w-])-+{_NAME})\s+")
_PAIR = re.compile(rf"(?P<name>{_START}{_NAME})[\"']?\s*:\s*")
_PAIR_NAME = re.compile(
    r"(?i)secret|passw|passphrase|credential|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization"
)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/]*@")
_AUTHORIZATION = re.compile(
    r"(?i)(?P<link>(?:proxy-)?authorization\s*[:=]\s*(?:(?:bearer|basic|digest|token|negotiate|apikey)\s+)?"
    r"|\bbearer\s+|\bcookie\s*:\s*(?=\S))(?P<value>(?:(?<=ie:)|(?<=ie: ))[^\n\"']+|[^\s\"']+)"
)
# Commands whose secret has no name: `wandb login KEY`, `sshpass -p PASSWORD`, `curl -u user:password`.
_POSITIONAL = re.compile(
    r"(?P<link>\bwandb\s+login\s+(?:--\S+\s+)*|\bsshpass\s+-p\s*|(?<!\S)(?:-u|--user|--proxy-user)[\s=]+(?=[^\s:]+:)"
    r"(?!\d+:\d+(?:\s|\Z)))(?P<value>[^\s-]\S*)"
)
# Shapes that issuers document for their own keys, so that scanners can find them.
_TOKEN_SHAPES = re.compile(
    r"hf_[A-Za-z0-9]{16,}"
    r"|(?<![A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|xox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/[\w/]+"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|nvapi-[\w-]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|dckr_pat_[\w-]{16,}|wandb_v\d_\w{20,}|local-[0-9a-f]{40}"
    r"|eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?"
)
# What follows `-p` and is no password: another flag, a number or port, a path.
_NO_PASSWORD = re.compile(r"-.*|[\d.:]{1,32}|(?:~|\.{1,2})?/.*|\Z", re.DOTALL)
_NUMERIC_IDS = re.compile(r"\d+:\d+")
_HOME = re.compile(r"(?P<root>/(?:home|Users)/)(?!~)[^/\s\"':,;=]+")


def host_hash(hostname: str) -> str:
    """A pseudonym for a host such as "node-7f3a1c": the same name gives the same one, everywhere."""
    return "node-" + _digest("host:" + hostname)


def user_hash(user: str) -> str:
    """A pseudonym for a user such as "user:7f3a1c": the same name gives the same one, everywhere."""
    return user if _USER_HASH.fullmatch(user) else "user:" + _digest("user:" + user)


def _digest(text: str) -> str:
    return hashlib.sha256(_SALT + text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def is_secret_name(name: str) -> bool:
    """Whether a flag or variable of this name is expected to hold a secret."""
    return bool(_SENSITIVE_NAME.search(_HARMLESS_NAME.sub("", name.strip("\"'-"))))


def _is_count(name: str, value: str) -> bool:
    """`--max-tokens 512` counts tokens of text; it holds none of the other kind."""
    return bool(_COUNT_NAME.search(name) and _COUNT.fullmatch(value.strip("\"'")))


def redact_line(line: str) -> tuple[str, list[str]]:
    """A shell line as `redact_command` leaves it; as `redact_text` does where it is no shell line.

    A second pass finds nothing more.
    """
    kinds: list[str] = []
    for _ in range(8):
        try:
            clean, found = redact_command(shlex.split(line))
        except ValueError:  # a quote that never closes
            clean, found = redact_text(line)
        kinds += found
        if clean == line:
            break
        line = clean
    return line, kinds


def redact_command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """A command as one shell line with its secrets replaced by REDACTED, and the kind of each.

    Home directories are shortened to `~`. The line can be run again once the secrets are put back. Word by
    word more is known than of free text: which flag a value belongs to, and where it ends.
    """
    words: list[str] = []
    kinds: list[str] = []
    for position, word in enumerate(argv):
        clean, found = _redact_word(argv[position - 1] if position else "", word)
        words.append(clean)
        kinds += found
    line, more = redact_text(" ".join(_quote(word) for word in words))
    return line, kinds + more


def _quote(word: str) -> str:
    """As shlex does it, but a path below `~` stays readable."""
    return word if re.fullmatch(r"[\w@%+=:,./~-]+", word) else shlex.quote(word)


def _redact_word(previous: str, word: str) -> tuple[str, list[str]]:
    """One argument, given the one before it, which may be the flag it belongs to."""
    if word == REDACTED:
        return word, []
    if _takes_secret(previous) and not word.startswith("--") and not _is_count(previous, word):
        return REDACTED, ["named secret"]
    if previous == "-p" and not _NO_PASSWORD.fullmatch(word):
        return REDACTED, ["named secret"]
    if previous in ("-u", "--user", "--proxy-user") and ":" in word and not _NUMERIC_IDS.fullmatch(word):
        return REDACTED, ["named secret"]
    name, equals, value = word.partition("=")
    if equals and value != REDACTED and _is_plain_secret(name, value):
        return f"{name}={REDACTED}", ["named secret"]
    return redact_text(word)


def _takes_secret(flag: str) -> bool:
    return flag.startswith("-") and "=" not in flag and is_secret_name(flag)


def _is_plain_secret(name: str, value: str) -> bool:
    return (
        bool(value)
        and re.fullmatch(rf"-{{0,2}}{_NAME}", name) is not None
        and (is_secret_name(name) and not _is_count(name, value))
    )


def redact_text(text: str) -> tuple[str, list[str]]:
    """The text without secrets and home directories, and the kind of each that was removed.

    Kinds are those of SECRET_KINDS and "home path". A second pass finds nothing more.
    """
    kinds: list[str] = []
    for _ in range(8):
        clean = _pass(text, kinds)
        if clean == text:
            break
        text = clean
    return text, kinds


def _pass(text: str, kinds: list[str]) -> str:
    """One pass over the text. Removing one secret can bring another into reach, so passes repeat."""
    text = _PRIVATE_KEY.sub(_replacer("private key", kinds), text)
    text = _URL_CREDENTIALS.sub(_replacer("URL credentials", kinds, "@"), text)
    text = _AUTHORIZATION.sub(_linked("authorization header", kinds), text)
    text = _POSITIONAL.sub(_linked("named secret", kinds), text)
    text = _redact_named(_ASSIGNED, _VALUE_PATTERN, is_secret_name, text, kinds)
    text = _redact_named(_FLAG, _FLAG_VALUE, is_secret_name, text, kinds)
    text = _redact_named(_PAIR, _PAIR_VALUE, _is_secret_pair, text, kinds)
    text = _TOKEN_SHAPES.sub(_replacer("key or token", kinds), text)
    return _HOME.sub(_home(kinds), text)


def _is_secret_pair(name: str) -> bool:
    return bool(_PAIR_NAME.search(_HARMLESS_NAME.sub("", name)))


_Replace = Callable[[re.Match[str]], str]
_Record = TypeVar("_Record")


def _replacer(kind: str, kinds: list[str], suffix: str = "") -> _Replace:
    def replace(match: re.Match[str]) -> str:
        if match[0] != REDACTED + suffix:
            kinds.append(kind)
        return REDACTED + suffix

    return replace


def _linked(kind: str, kinds: list[str]) -> _Replace:
    def replace(match: re.Match[str]) -> str:
        if match["value"] != REDACTED:
            kinds.append(kind)
        return match["link"] + REDACTED

    return replace


def _redact_named(
    head: re.Pattern[str],
    value: re.Pattern[str],
    is_secret: Callable[[str], bool],
    text: str,
    kinds: list[str],
) -> str:
    """Replace what follows secret names. What follows any other name is searched for names in its turn."""
    parts: list[str] = []
    done = position = 0
    while found := head.search(text, position):
        position = found.end()
        held = value.match(text, position) if is_secret(found["name"]) else None
        if held is None or _is_count(found["name"], held[0]):
            continue
        if held[0] != REDACTED:
            kinds.append("named secret")
        parts += text[done:position], REDACTED
        done = position = held.end()
    return "".join([*parts, text[done:]])


def _home(kinds: list[str]) -> _Replace:
    def replace(match: re.Match[str]) -> str:
        kinds.append("home path")
        before = match.string[: match.start()][-1:]
        return match["root"] + "~" if re.match(r"[\w.@+~-]", before) else "~"

    return replace


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
    return host if _HOST_HASH.fullmatch(host) else host_hash(host)


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
    walker = _Walker(users, frames_of(diagnosis))
    document = walker.walk(msgspec.to_builtins(diagnosis))
    for row in (*document["verdicts"], *(each["evidence"] for each in document["observed"])):
        if row["workload"] is not None and row["workload"]["user"]:
            row["workload"]["user"] = user_hash(row["workload"]["user"])
    provenance = document["provenance"]
    provenance["command"] = walker.command(diagnosis.provenance.command)
    provenance["host"] = _hashed_host(diagnosis.provenance.host)
    provenance["redacted"] = _merged(diagnosis.provenance.redacted, walker.summary())
    return msgspec.convert(document, type(diagnosis))


def redact_record(record: _Record) -> _Record:
    """Any record without secrets and home directories in its texts."""
    import msgspec

    return msgspec.convert(_Walker((), {}).walk(msgspec.to_builtins(record)), type(record))


class _Walker:
    """Redacts every string of a document, each distinct one once, and counts what was removed."""

    def __init__(self, users: Iterable[str], frames: Mapping[str, str]) -> None:
        self._users = sorted(users)
        self._frames = frames
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
        clean, kinds = redact_line(line)
        self._kinds.update(Counter(kinds) - Counter(redact_text(line)[1]))
        return self._without_users(clean)

    def _text(self, text: str) -> str:
        if text not in self._clean:
            clean, kinds = redact_text(shortened(text, self._frames))
            self._kinds.update(kinds)
            self._clean[text] = self._without_users(clean)
        return self._clean[text]

    def _without_users(self, text: str) -> str:
        """User names inside paths and before an @; elsewhere a name may be an ordinary word."""
        for user in self._users:
            name = re.escape(user)
            text = re.sub(rf"(?<=/){name}(?=/|\Z)|(?<![\w.-]){name}(?=@)", lambda _: user_hash(user), text)  # noqa: B023
        return text

    def summary(self) -> list[str]:
        secrets = sum(self._kinds[kind] for kind in SECRET_KINDS)
        lines = [f"{secrets} command-line secret{'s' if secrets > 1 else ''}"] if secrets else []
        lines += ["user names hashed"] if self._users else []
        lines += ["home paths shortened"] if self._kinds["home path"] else []
        return [*lines, *([REMOVED] if self._frames else []), "host name hashed"]
