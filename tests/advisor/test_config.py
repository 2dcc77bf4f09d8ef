"""Configuration: precedence, origins, errors that name the place, and a template that holds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.config import (
    Config,
    ConfigError,
    describe,
    env_name,
    load,
    settings,
    template,
    to_toml,
    validate,
)
from advisor.toml import dump_table


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def uncommented(text: str) -> str:
    """Settings are `#key = value`; prose is `# words`."""
    return "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()
    )


def test_without_a_file_every_value_is_its_default(tmp_path: Path) -> None:
    config = load({}, {"ADVISOR_CONFIG": ""}, written(tmp_path, ""))
    assert {name: getattr(config, name) for name in settings()} == {
        name: getattr(Config(), name) for name in settings()
    }
    assert set(config.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("flags", "env", "expected", "origin"),
    [
        ({"interval_s": 0.5}, {"ADVISOR_INTERVAL": "3"}, 0.5, "flag"),
        ({"interval_s": None}, {"ADVISOR_INTERVAL": "3"}, 3.0, "environment"),
        ({}, {}, 2.0, "config"),
    ],
)
def test_flag_beats_environment_beats_file(
    tmp_path: Path, flags: dict[str, Any], env: dict[str, str], expected: float, origin: str
) -> None:
    config = load(flags, env, written(tmp_path, "interval_s = 2"))
    assert config.interval_s == expected
    assert config.origins["interval_s"] == origin
    assert config.origins["window_s"] == "default"


def test_the_file_named_by_the_environment_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, 'theme = "light"')
    config = load({}, {"ADVISOR_CONFIG": str(path)})
    assert (config.theme, config.path, config.exists) == ("light", str(path), True)


def test_a_file_named_on_purpose_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load({}, {"ADVISOR_CONFIG": str(tmp_path / "none.toml")})


def test_the_default_file_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = load({}, {})
    assert not config.exists
    assert config.path == str(tmp_path / "advisor" / "config.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("intervl_s = 1", ["'intervl_s'", "did you mean 'interval_s'"]),
        ('interval_s = "x"', ["interval_s = 'x'", "expected a number, got text"]),
        ("interval_s = 0", ["interval_s = 0", ">= 0.1"]),
        ("interval_s = true", ["interval_s = True", "expected a number, got true or false"]),
        ("window_s = nan", ["window_s = nan", "finite"]),
        ('theme = "neon"', ["theme = 'neon'", "auto, dark, light, ansi"]),
        ("[prices]\nH100 = -3", ["prices.'H100' = -3", "> 0"]),
        ("prices = 3", ["prices = 3", "expected a table, got a whole number"]),
        ("[node_prices]\n'a*' = 0", ["node_prices.'a*' = 0", "> 0"]),
        ("[job_prices]\nh100 = 2", ["job_prices.'h100'", "partition:NAME", "label:NAME"]),
        ("[job_prices]\n'label:' = 2", ["job_prices.'label:'", "partition:NAME"]),
        ("= broken", ["is not TOML", "line 1"]),
    ],
)
def test_an_error_names_file_key_and_what_was_expected(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    (problem,) = validate(path)
    assert all(word in problem for word in [str(path), *words]), problem
    with pytest.raises(ConfigError):
        load({}, {}, path)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"theme": "x"}, {"ADVISOR_ASCII": "perhaps"}, written(tmp_path, "a = 1\nredact = 3"))
    assert len(caught.value.problems) == 4
    assert "ADVISOR_ASCII = 'perhaps'" in str(caught.value)


def test_bytes_that_are_no_text_and_files_too_large_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"theme = \xff")
    assert "UTF-8" in validate(path)[0]
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    assert "larger than 1 MiB" in validate(path)[0]
    assert "cannot be read" in validate(tmp_path)[0]


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_booleans_from_the_environment(tmp_path: Path, text: str, value: bool) -> None:
    assert load({}, {"ADVISOR_ASCII": text}, written(tmp_path, "")).ascii is value


def test_names_of_variables_leave_out_units() -> None:
    names = {env_name(name) for name in settings()}
    assert {"ADVISOR_PRICE", "ADVISOR_INTERVAL", "ADVISOR_GPM_INTERVAL", "ADVISOR_FAIL_ON"} <= names
    assert len(names) == len(settings())


def test_every_setting_says_what_it_means() -> None:
    assert all(describe(name).endswith(".") for name in settings())


def test_the_template_changes_nothing_and_is_valid_when_uncommented(tmp_path: Path) -> None:
    assert tomllib.loads(template()) == {}
    live = uncommented(template())
    assert set(tomllib.loads(live)) == set(settings())
    assert validate(written(tmp_path, live)) == ()


def test_what_is_printed_says_origins_and_reads_back(tmp_path: Path) -> None:
    path = written(tmp_path, 'price_usd_h = 3\n[prices]\n"H100 \\" \\u007f" = 2.25\n')
    config = load({"ascii": True}, {}, path)
    text = to_toml(config)
    assert "ascii = true  # flag" in text
    assert "price_usd_h = 3.0  # config" in text
    again = load({}, {}, written(tmp_path, text))
    assert all(getattr(again, name) == getattr(config, name) for name in settings())


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.text(st.characters(codec="utf-8"))
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.integers(-(2**53), 2**53),
    )
)
def test_tables_read_back_as_written(values: dict[str, Any]) -> None:
    assert tomllib.loads(dump_table("t", values))["t"] == values


@given(
    st.dictionaries(
        st.text(max_size=8), st.none() | st.booleans() | st.floats() | st.text(max_size=8), max_size=4
    )
)
def test_hostile_flags_give_a_config_or_a_config_error(flags: dict[str, Any]) -> None:
    try:
        config = load(flags, {}, None)
    except ConfigError as error:
        assert error.problems
    else:
        assert config.interval_s > 0
