"""Configuration: what may be set, where a value came from, and what is wrong with a file.

Precedence: flag > environment (`ADVISOR_*`) > config.toml > default. `advisor.settings` declares each
with its meaning; the schema, the commented template and the checks are all made from that declaration.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from advisor.settings import Config as Config
from advisor.settings import Dollars
from advisor.settings import LoadedConfig as LoadedConfig
from advisor.settings import Theme as Theme
from advisor.toml import dump_line, dump_table

_MAX_FILE_BYTES = 1 << 20
_SUFFIXES = ("_usd_h", "_s")
# Settings that are tables: table -> an entry to show. The environment has no names for them.
_TABLES = {"prices": "H100 SXM5 80GB", "node_prices": "gpu-a*", "job_prices": "partition:h100"}
# Examples of settings that are not set by default.
_SHOWN = {"price_usd_h": 2.5, "capex_usd_per_gpu": 31250.0, "kw_per_gpu": 1.275, "utilisation_frac": 0.4}
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}

# Types as msgspec calls them -> as people do.
_KINDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}


class ConfigError(Exception):
    """A setting is wrong. The message names the place, the key, what was found and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(flags: Mapping[str, Any], env: Mapping[str, str], path: Path | None = None) -> LoadedConfig:
    """The configuration in force. Raises ConfigError with every problem found.

    flags: setting -> value; None is not given. path: the file to read; None looks where ADVISOR_CONFIG or
    the user's configuration directory says, and only a file named on purpose must exist.
    """
    from advisor.locations import config_file

    where = config_file(env) if path is None else path
    must_exist = path is not None or bool(env.get("ADVISOR_CONFIG"))
    raw = _read(where, must_exist)
    problems: list[str] = []
    layers = (
        ("config", _checked(raw or {}, str(where), problems)),
        ("environment", _from_env(env, problems)),
        ("flag", _from_flags(flags, problems)),
    )
    if problems:
        raise ConfigError(problems)
    values: dict[str, Any] = {}
    origins = dict.fromkeys(settings(), "default")
    for origin, layer in layers:
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    return LoadedConfig(**values, origins=origins, path=str(where), exists=raw is not None)


def validate(path: Path) -> tuple[str, ...]:
    """Every problem of a configuration file, one line each; empty when it is good."""
    try:
        raw = _read(path, must_exist=True)
    except ConfigError as error:
        return error.problems
    problems: list[str] = []
    _checked(raw or {}, str(path), problems)
    return tuple(problems)


def settings() -> tuple[str, ...]:
    """The name of every setting, in the order it is declared."""
    return Config.__struct_fields__


def env_name(setting: str) -> str:
    """The environment variable of a setting: ADVISOR_ and its name without the unit. Tables have none."""
    stem = next((setting.removesuffix(s) for s in _SUFFIXES if setting.endswith(s)), setting)
    return f"ADVISOR_{stem.upper()}"


def describe(setting: str) -> str:
    """What a setting means, as declared."""
    return next((m.description or "" for m in _metas(_hints()[setting]) if m.description), "")


def template() -> str:
    """A configuration file that changes nothing: every setting commented out, with its meaning."""
    head = (
        "# Configuration of advisor. A line without # sets a value; flags and the environment win over it.\n"
    )
    plain = [name for name in settings() if name not in _TABLES]
    return "\n".join([head, *map(_template_entry, plain), *map(_template_table, _TABLES)])


def to_toml(config: Config) -> str:
    """The settings as TOML. A LoadedConfig's lines say in a comment where the value came from."""
    origins = config.origins if isinstance(config, LoadedConfig) else {}
    lines = []
    for name in settings():
        value = getattr(config, name)
        note = f"  # {origins[name]}" if name in origins else ""
        if name in _TABLES:
            continue
        lines.append(f"# {name} is not set{note}" if value is None else f"{dump_line(name, value)}{note}")
    tables = [dump_table(name, found) for name in _TABLES if (found := getattr(config, name))]
    return "\n".join(lines) + "\n" + "".join(f"\n{table}" for table in tables)


def _template_entry(name: str) -> str:
    default = getattr(Config(), name)
    shown = _SHOWN.get(name, default)
    return f"# {describe(name)}\n# Environment: {env_name(name)}\n#{dump_line(name, shown)}\n"


def _template_table(name: str) -> str:
    return f'# {describe(name)}\n#[{name}]\n#"{_TABLES[name]}" = 2.5\n'


def _read(path: Path, must_exist: bool) -> dict[str, Any] | None:
    """The file's content, None when there is none and none was asked for."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if must_exist:
            raise ConfigError([f"{path}: there is no such file"]) from None
        return None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {_MAX_FILE_BYTES >> 20} MiB; this is no configuration"])
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error


def _checked(raw: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    """The good values of a file; what is wrong with the others goes to `problems`."""
    good: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in settings():
            problems.append(f"{where}: unknown setting {name!r}{_did_you_mean(name)}")
        elif (converted := _converted(name, value, f"{where}: {name}", problems)) is not None:
            good[name] = converted
    return good


def _from_flags(flags: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    given = {name: value for name, value in flags.items() if value is not None}
    return _checked(given, "flags", problems)


def _from_env(env: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    good: dict[str, Any] = {}
    for name in settings():
        variable = env_name(name)
        if name in _TABLES or not env.get(variable):
            continue
        value = _from_text(name, env[variable])
        if (converted := _converted(name, value, variable, problems)) is not None:
            good[name] = converted
    return good


def _from_text(name: str, text: str) -> Any:
    """A variable's text as the setting's type, or the text itself where it does not read as one."""
    kind = _plain(_hints()[name])
    if kind is bool:
        return _WORDS.get(text.strip().lower(), text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _converted(name: str, value: Any, where: str, problems: list[str]) -> Any:
    """`value` as the setting's type, or None with a problem noted. A table's entries are named each."""
    if name in _TABLES and isinstance(value, dict):
        for entry, price in value.items():
            _convert(price, Dollars, f"{where}.{entry!r}", problems)
        problems += _entry_problems(name, value, where)
    hint = dict[str, Any] if name in _TABLES else _hints()[name]
    if name == "fail_on" and isinstance(value, str) and (wrong := _gate_problem(value)):
        problems.append(f"{where} = {_shown(value)}: {wrong}")
        return None
    if name == "slo" and isinstance(value, str) and (wrong := _slo_problem(value)):
        problems.append(f"{where} = {_shown(value)}: {wrong}")
        return None
    if name in ("select", "ignore") and isinstance(value, str) and (wrong := _selection_problem(value)):
        problems.append(f"{where} = {_shown(value)}: {wrong}")
        return None
    return _convert(value, hint, where, problems, _choices(name))


def _entry_problems(name: str, table: Mapping[str, Any], where: str) -> list[str]:
    """Entries of a table that nothing can ever match."""
    if name != "job_prices":
        return []
    wrong = [entry for entry in table if not re.match(r"(partition|label):.", entry)]
    return [f'{where}.{entry!r}: expected "partition:NAME" or "label:NAME"' for entry in wrong]


def _slo_problem(value: str) -> str:
    """What is wrong with an `slo`; empty when nothing is."""
    if not value:
        return ""
    from rules.slo import parse_slo

    try:
        parse_slo(value)
    except ValueError as error:
        return str(error)
    return ""


def _selection_problem(value: str) -> str:
    """What is wrong with a `select` or `ignore`; empty when nothing is."""
    if not value:
        return ""
    from advisor.selection import SelectionError, parse_words

    try:
        parse_words(value)
    except SelectionError as error:
        return f"{error}; {error.fix}"
    return ""


def _gate_problem(value: str) -> str:
    """What is wrong with a `fail_on`; empty when nothing is."""
    if not value:
        return ""
    from advisor.gate import GateError, parse_gate

    try:
        parse_gate((value,))
    except GateError as error:
        return f"{error}; {error.fix}"
    return ""


def _convert(value: Any, hint: Any, where: str, problems: list[str], choices: str = "") -> Any:
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("Expected a finite number")
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        reason = _in_words(str(error).partition(" - at ")[0])
        problems.append(f"{where} = {_shown(value)}: {reason[:1].lower()}{reason[1:]}{choices}")
        return None


def _in_words(reason: str) -> str:
    """msgspec's sentence with types as people call them; any setting may be left out."""
    plain = reason.replace(" | null`", "`")
    return re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[1]), plain).replace("`", "")


def _choices(name: str) -> str:
    kind = _plain(_hints()[name])
    return f"; one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _did_you_mean(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, settings(), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(settings())}"


def _hints() -> dict[str, Any]:
    return get_type_hints(Config, include_extras=True)


def _metas(hint: Any) -> tuple[Meta, ...]:
    return tuple(part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Meta))


def _plain(hint: Any) -> Any:
    """A hint without its annotations and without None."""
    if hasattr(hint, "__metadata__"):
        return _plain(get_args(hint)[0])
    parts = [part for part in get_args(hint) if part is not type(None)]
    is_optional = type(None) in get_args(hint)
    return _plain(parts[0]) if is_optional and len(parts) == 1 else hint
