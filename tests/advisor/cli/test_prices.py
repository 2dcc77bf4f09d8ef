"""advisor prices, and the doctor's check of prices: as a person and as a script reads them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.cli import pricing
from advisor.cli.app import run_cli
from advisor.cli.checks import nvml_look
from advisor.cli.checks.nvml_look import DeviceLook, NvmlLook
from advisor.cli.checks.prices import price_check
from advisor.price_list import PriceList
from advisor.price_table import bundled_rows
from advisor.prices import NodeFacts
from advisor.schema import json_schema
from tests.advisor.streams import device

jsonschema: Any = importlib.import_module("jsonschema")  # it has no types of its own
CARDS = NvmlLook(devices=(DeviceLook(info=device(0)), DeviceLook(info=device(1))))
NITRO = NodeFacts(host="node-000000", provider="aws", instance="p5.4xlarge")


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bare node: no configuration, no GPU, no cloud."""
    for name in ("ADVISOR_PRICE", "ADVISOR_LABEL", "SLURM_JOB_PARTITION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ADVISOR_CONFIG", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(nvml_look, "look", NvmlLook)
    monkeypatch.setattr(pricing, "this_node", lambda: NodeFacts(instance_why="no DMI here"))


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> PriceList:
    """The list as JSON, which is valid by its schema."""
    assert run_cli(["prices", *args, "--json"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    jsonschema.validate(document, json_schema("prices"))
    return msgspec.convert(document, PriceList)


def test_every_row_is_listed_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["prices"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for row in bundled_rows():
        assert f"${row.usd_h:,.4f}".removesuffix("00") in text
    assert "45 rows" in text
    assert "on-demand and spot never used" in text
    assert "date is not known for every row" in text


@pytest.mark.parametrize("columns", ["40", "60", "100", "300"])
def test_rows_are_listed_at_any_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run_cli(["prices", "--gpu", "H100"]) == 0
    assert "p5.48xlarge" in capsys.readouterr().out


def test_the_list_as_json_has_every_figure_and_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert len(found.rows) == len(bundled_rows())
    trap = next(row for row in found.rows if row.on_demand_usd_h == 5.3833)
    assert trap.flags == ("spot-above-on-demand", "commitment-looking", "date-unknown")
    assert trap.usable == ()
    floor = next(row for row in found.rows if row.on_demand_usd_h == 14.2416)
    assert floor.usable == ("on-demand",)
    assert set(found.flags) == {code for row in found.rows for code in row.flags}
    assert found.models == ()


def test_what_is_in_force_comes_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["prices", "--gpu", "H100"]) == 0
    assert capsys.readouterr().out.startswith("In force on this node")
    assert run_cli(["prices"]) == 0
    assert capsys.readouterr().out.startswith("In force: no GPU is seen on this node")


def test_an_entry_that_matches_no_model_is_warned_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    good = '"h100  sxm5 80gb" = 2\n"H100" = 3\n"NVIDIA H100 80GB HBM3" = 4\n"RTX A6000" = 1\n'
    path.write_text(f'[prices]\n{good}"H1OO SXM5" = 2.5\n"NVIDIA Foo 9000" = 9\n')
    monkeypatch.setenv("ADVISOR_CONFIG", str(path))
    told = [text for text in listed(capsys).warnings if text.startswith("[prices]")]
    assert [text.split("'")[1] for text in told] == ["H1OO SXM5", "NVIDIA Foo 9000"]
    assert "did you mean 'H100 SXM5 80GB'?" in told[0]
    asked = listed(capsys, "--gpu", "nvidia foo 9000")
    assert not any("Foo" in text for text in asked.warnings)
    assert run_cli(["config", "validate", str(path)]) == 0
    said = capsys.readouterr()
    assert "is valid" in said.out
    assert "'H1OO SXM5' matches no model" in said.err
    assert "'H100'" not in said.err
    assert run_cli(["config", "validate", str(path), "--json"]) == 0
    assert len(msgspec.json.decode(capsys.readouterr().out)["warnings"]) == 2


def test_a_model_and_a_provider(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, "--gpu", "h100-80gb", "--provider", "AWS")
    assert {(row.accelerator, row.provider) for row in found.rows} == {("H100-80GB", "aws")}
    (model,) = found.models
    assert (model.model, model.price.usd_h, model.price.basis) == ("H100 SXM5 80GB", 6.88, "bundled")
    assert [place.place for place in model.asked][-1] == "bundled table"
    assert model.asked[-2].why == "no DMI here"


def test_this_node_s_gpus_and_its_type_of_instance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml_look, "look", lambda: CARDS)
    monkeypatch.setattr(pricing, "this_node", lambda: NITRO)
    found = listed(capsys)
    (model,) = found.models
    assert (model.gpus, model.price.basis) == ((0, 1), "instance")
    assert (found.provider, found.instance) == ("aws", "p5.4xlarge")
    assert run_cli(["prices"]) == 0
    assert "GPU 0, 1: H100 SXM5 80GB: $6.88/h (instance)" in capsys.readouterr().out


def test_a_model_that_only_the_configuration_prices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[prices]\n"NVIDIA Foo 9000" = 1.5\n')
    monkeypatch.setenv("ADVISOR_CONFIG", str(path))
    found = listed(capsys, "--gpu", "nvidia foo 9000")
    assert (found.rows, found.models[0].price.usd_h) == ((), 1.5)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--gpu", "H1000"], "H100-80GB"),
        (["--gpu", ""], "every model is listed"),
        (["--gpu", "\x1b[31mred"], "every model is listed"),
        (["--provider", "nobody"], "one of aws"),
    ],
)
def test_what_is_not_in_the_table_is_refused(
    capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert run_cli(["prices", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "\x1b" not in captured.err


def test_a_wrong_price_of_the_environment_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVISOR_PRICE", "cheap")
    assert run_cli(["prices"]) == 2
    said = capsys.readouterr().err
    assert "ADVISOR_PRICE = 'cheap': expected a number, got text" in said
    assert "fix: correct ADVISOR_PRICE in the environment, or unset it" in said


# --- doctor ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "text", "status", "said"),
    [
        ({}, "", "warn", "H100 SXM5 80GB $6.88/h (bundled table: aws p5.48xlarge"),
        ({"ADVISOR_PRICE": "2.5"}, "", "ok", "H100 SXM5 80GB $2.50/h (environment: ADVISOR_PRICE)"),
        ({}, "price_usd_h = 3", "ok", "$3.00/h (config: price_usd_h in"),
        (
            {},
            "[node_prices]\n'node-000000' = 4",
            "ok",
            "$4.00/h (config: [node_prices] entry for node-000000",
        ),
        ({}, "price_usd_h = -1", "skip", "while a setting is wrong"),
        ({"ADVISOR_PRICE": "cheap"}, "", "skip", "while a setting is wrong"),
    ],
)
def test_the_doctor_names_the_price_in_force(
    tmp_path: Path, env: dict[str, str], text: str, status: str, said: str
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    check = price_check(CARDS, NodeFacts(host="node-000000"), {**env, "ADVISOR_CONFIG": str(path)})
    assert (check.id, check.status) == ("prices.in_force", status)
    assert said in check.detail
    assert bool(check.fix) == (status == "warn")


def test_the_doctor_says_what_weakens_a_price_and_when_there_is_none() -> None:
    env: dict[str, Any] = {"ADVISOR_CONFIG": "/dev/null"}
    assert "date is not known" in price_check(CARDS, NITRO, env).detail
    odd = NvmlLook(devices=(DeviceLook(info=device(0, name="Odd Card")),))
    assert price_check(odd, NITRO, env).detail == "Odd Card: no price, so shares without dollars"
    assert price_check(NvmlLook(), NITRO, env).status == "skip"
