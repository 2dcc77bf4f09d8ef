"""`advisor cost`: where inputs come from, what is refused, and what is printed."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from advisor.cli.app import run_cli
from advisor.cli.commands.cost import EXAMPLES
from advisor.cli.costs.observed import seen_in
from advisor.config import Config
from advisor.document import Diagnosis
from advisor.reports.json import encode
from advisor.schema import json_schema
from rules.calculators.quantities import QUANTITIES
from rules.power import ElectricityRates, electricity
from rules.serving import ServingFigures
from tests.factories import make_diagnosis
from tests.strategies import diagnoses

jsonschema: Any = importlib.import_module("jsonschema")
PAGE = Path(__file__).resolve().parents[3] / "docs" / "economics.md"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, no ADVISOR_*, 80 columns."""
    for name in ("ADVISOR_PRICE", "ADVISOR_PUE", "ADVISOR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def cost(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """What a command line prints, which must be well."""
    code = run_cli(["cost", *shlex.split(line)])
    done = capsys.readouterr()
    assert (code, done.err) == (0, ""), line
    return done.out


def document(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cost(capsys, line + " --json"))
    return found


def refused(capsys: pytest.CaptureFixture[str], line: str) -> str:
    code = run_cli(["cost", *shlex.split(line)])
    done = capsys.readouterr()
    assert (code, done.out) == (2, ""), line
    return done.err


def inputs(found: dict[str, Any]) -> dict[str, tuple[float, str]]:
    return {item["name"]: (item["value"], item["label"]) for item in found["inputs"]}


def saved(tmp_path: Path, diagnosis: Diagnosis) -> str:
    path = tmp_path / "diagnosis.json"
    path.write_bytes(encode(diagnosis))
    return str(path)


def served(**more: Any) -> Diagnosis:
    """One GPU with an engine on it."""
    diagnosis = make_diagnosis("memory")
    engine = ServingFigures(
        endpoint="127.0.0.1:8000",
        engine="vllm\x1b[31m",
        t_start_s=0.0,
        t_end_s=60.0,
        keys=(diagnosis.verdicts[0].key,),
        **{"prompt_tok_s": 4000.0, "generation_tok_s": 1000.0, "prefill_time_frac": 0.25, **more},
    )
    return msgspec.structs.replace(diagnosis, serving=(engine,))


# --- the page ----------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return {title: body for title, body in zip(parts[1::2], parts[2::2], strict=True) if "```sh" in body}


def test_all_twelve_claims_have_a_section() -> None:
    assert [title.partition(".")[0] for title in sections() if title[0].isdigit()] == [
        str(n) for n in range(1, 13)
    ]


@pytest.mark.parametrize("title", sections())
def test_figures_of_the_page_are_what_its_commands_print(
    title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = sections()[title]
    commands = re.findall(r"^advisor cost (.+)$", body, re.MULTILINE)
    printed = " ".join(" ".join(cost(capsys, line) for line in commands).split())
    figures = re.findall(r"\*\*(.+?)\*\*", " ".join(body.split()))
    assert figures
    missing = [f for f in figures if not re.search(rf"(?<![\d.,]){re.escape(f)}(?![\d,]|\.\d)", printed)]
    assert missing == []


@pytest.mark.parametrize("title", [title for title in sections() if title[0].isdigit()])
def test_the_published_figure_is_not_printed(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    published = {"1": "3,000 W", "2": "63,000", "5": "1.7e-8", "6": "0.0314", "12": "10 %"}
    figure = published.get(title.partition(".")[0])
    for line in re.findall(r"^advisor cost (.+)$", sections()[title], re.MULTILINE):
        printed = cost(capsys, line)
        assert figure is None or "power-w 375" in line or figure not in printed


def test_defaults_of_the_page_are_those_in_force() -> None:
    table = PAGE.read_text().partition("\n## Defaults\n")[2].partition("\n## ")[0]
    rows = [re.match(r"\| (.+?) \| ([\d.]+)[ |]", line) for line in table.splitlines()]
    said = {name: float(row[2]) for row in rows if row for name in re.findall(r"`([\w-]+)`", row[1])}
    flags = {q.flag: q.default for q in QUANTITIES.values() if q.default is not None}
    in_force = {**msgspec.structs.asdict(Config()), **flags}
    assert len(said) == 10
    assert said == {name: in_force[name] for name in said}


# --- the command -------------------------------------------------------------------------------------


def test_alone_it_lists_every_calculator_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    shown = cost(capsys, "")
    assert all(re.search(rf"^{name}\s", shown, re.MULTILINE) for name in EXAMPLES)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_in_80_columns_and_are_valid_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = EXAMPLES[name].removeprefix("advisor cost ")
    assert max(map(len, cost(capsys, line).splitlines())) <= 80
    found = document(capsys, line)
    jsonschema.Draft202012Validator(json_schema("calculation")).validate(found)
    assert found["calculator"] == name


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"advisor cost {name} --" in cost(capsys, f"{name} --help")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "x", "", "1e400"])
@pytest.mark.parametrize(
    "option",
    [
        "tokens --price 6.88 --tok-s",
        "tokens --tok-s 9 --price",
        "energy --power-w 700 --gpus",
        "energy --power-w 700 --pue",
        "response --tokens-per-response 1 --usd-per-mtok 1 --attempts",
        "tco --kw-per-gpu 1 --capex-usd-per-gpu",
        "scaling --one-tok-s 1 --all-tok-s 4 --gpus",
        "straggler --gpus 4 --price 1 --median-s 1 --slowest-s",
        "rightsize --gr-active-frac",
    ],
)
def test_nonsense_is_a_usage_error(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    flag = option.rpartition(" ")[2]
    assert flag in refused(capsys, f"{option} {shlex.quote(value)}")


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("tokens", ["--price", "--model", "--from"]),
        ("tokens --price 1", ["--tok-s", "--generation-tok-s"]),
        ("energy", ["--power-w", "--energy-j"]),
        ("energy --tokens 5", ["--tok-j", "--energy-j"]),
        ("response --tokens-per-response 9 --attempts 1", ["--usd-per-mtok", "--tok-s"]),
        ("response --tokens-per-response 9 --usd-per-mtok 1", ["--success-frac", "--attempts"]),
        ("tco", ["--capex-usd-per-gpu", "--kw-per-gpu"]),
        ("scaling --gpus 8", ["--one-tok-s", "--all-tok-s"]),
        ("rightsize", ["--other-model", "--step-ms", "--gr-active-frac"]),
        ("straggler --gpus 4 --price 1", ["--slower-frac", "--times-s"]),
    ],
)
def test_what_is_missing_is_named_by_its_flags(
    line: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, line)
    assert all(flag in said for flag in flags)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("scaling --gpus 8 --one-tok-s 100 --all-tok-s 90", "figure of each device"),
        ("scaling --gpus 8 --one-tok-s 100 --all-tok-s 900", "cannot do 9 times"),
        ("scaling --gpus 8 --one-tok-s 100 --each-tok-s 90 --aggregated", "count it twice"),
        ("scaling --gpus 64 --per-doubling-frac 0.9 --aggregated", "count it twice"),
        ("straggler --price 1 --times-s 1", "two or more"),
        ("straggler --price 1 --times-s 1,nan", "nan"),
        ("response --tokens-per-response 1 --success-frac 1.2 --usd-per-mtok 1", "at most 1"),
        ("tokens --model H100 --tok-s 1", "H100 SXM5 80GB"),
        ("tokens --model H1000 --tok-s 1", "no model"),
        ("tokens --model 'H100 PCIe 80GB' --tok-s 1", "price_usd_h"),
        ("rightsize --rank nobody", "nobody of that name"),
        ("tokens --gpu 0 --tok-s 1 --price 1", "--from"),
        ("tokens --from /nowhere.json", "cannot read"),
    ],
)
def test_what_makes_no_sense_is_refused(line: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert why in refused(capsys, line)


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        (
            "tokens --price 3 --tok-s 100 --prompt-tok-s 80 --generation-tok-s 50",
            "--tok-s and --prompt-tok-s",
        ),
        ("tokens --price 3 --tok-s 100 --prompt-tok-s 80", "--tok-s and --prompt-tok-s both say"),
        ("tokens --price 3 --tok-s 9 --prefill-frac 0.2 --prefill-s 4", "--prefill-frac and --prefill-s"),
        (
            "response --tokens-per-response 9 --usd-per-mtok 1 --attempts 1.2 --success-frac 0.5",
            "attempts and",
        ),
        (
            "response --tokens-per-response 9 --attempts 1 --usd-per-mtok 1 --price 2",
            "--usd-per-mtok and --price",
        ),
        ("energy --tok-j 3 --tok-s 100 --power-w 400", "--tok-j and --power-w"),
        ("scaling --gpus 8 --one-tok-s 9 --all-tok-s 50 --each-tok-s 7", "--all-tok-s and --each-tok-s"),
        ("straggler --price 1 --times-s 1,2 --slower-frac 0.1", "--times-s and --slower-frac"),
        ("straggler --price 1 --times-s 1,2 --gpus 64", "--times-s and --gpus"),
    ],
)
def test_one_thing_said_in_two_ways_is_refused(
    line: str, flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, line)
    assert flags in said
    assert "fix: give --" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1,000", "write 1000, or 1.000"),
        ("9,010.5", "write 9010.5"),
        ("1,000,000", "write 1000000"),
        ("1e308", "above 0 and at most 1e15"),
    ],
)
def test_how_a_number_is_written_is_said(value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(refused(capsys, f"tokens --price 1 --tok-s {value}").split())
    assert said in shown
    assert "expected a number above 0 (" not in shown


def test_power_of_an_idle_gpu_is_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    idle = {"idle_held": 0.97, "useful": 0.03}
    for shares, doubted in ((idle, True), ({"useful": 0.9, "idle_held": 0.1}, False)):
        diagnosis = _metered(make_diagnosis("memory"), shares)
        file = saved(tmp_path, diagnosis)
        shown = " ".join(cost(capsys, f"energy --from {file} --tok-s 500").split())
        assert ("ran nothing for 97 % of the time" in shown) is doubted
        assert "ran nothing" not in cost(capsys, f"energy --from {file} --power-w 700 --tok-s 500")


def _metered(diagnosis: Diagnosis, shares: dict[str, float]) -> Diagnosis:
    """With an energy counter, and these shares of time."""
    (row,), (device,) = diagnosis.ladder, diagnosis.provenance.devices
    drawn = electricity(7_000.0, 100.0, ElectricityRates(usd_kwh=0.1, pue=1.0))
    devices = (msgspec.structs.replace(device, electricity=drawn),)
    return msgspec.structs.replace(
        diagnosis,
        ladder=(msgspec.structs.replace(row, shares=dict.fromkeys(row.shares, 0.0) | shares),),
        provenance=msgspec.structs.replace(diagnosis.provenance, devices=devices),
    )


def test_a_flag_that_nothing_uses_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(cost(capsys, "scaling --gpus 64 --per-doubling-frac 0.97 --racks 2").split())
    assert "Not used for this: --racks." in shown
    assert "--slo-ms" in cost(capsys, "rightsize --gr-active-frac 0.8 --slo-ms 5")


# --- whose figure it is ------------------------------------------------------------------------------


def test_labels_follow_flag_environment_file_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("electricity_usd_kwh = 0.2\npue = 1.2\nprice_usd_h = 2.5\n")
    monkeypatch.setenv("ADVISOR_CONFIG", str(config))
    monkeypatch.setenv("ADVISOR_PUE", "1.3")
    found = inputs(document(capsys, "energy --tok-j 3"))
    assert found["electricity_usd_kwh"] == (0.2, "config")
    assert found["pue"] == (1.3, "environment")
    assert found["tok_j"] == (3.0, "flag")
    found = inputs(document(capsys, "tokens --tok-s 3"))
    assert found["price_usd_h"] == (2.5, "config")
    assert found["gpus"] == (1.0, "default")
    monkeypatch.setenv("ADVISOR_PRICE", "3.5")
    assert inputs(document(capsys, "tokens --tok-s 3"))["price_usd_h"] == (3.5, "environment")
    assert inputs(document(capsys, "tokens --tok-s 3 --price 4"))["price_usd_h"] == (4.0, "flag")


def test_a_model_gives_its_bundled_price_and_data_sheet(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "rightsize --model 'NVIDIA H100 80GB HBM3' --other-model L40S")
    assert inputs(found)["price_usd_h"] == (6.88, "bundled")
    assert inputs(found)["other_bandwidth_gb_s"] == (864.0, "bundled")
    price = next(item for item in found["inputs"] if item["name"] == "other_price_usd_h")
    assert "g6e.xlarge" in price["source"]
    assert any("span $2.95 to $10.98" in note for note in found["notes"]), found["notes"]


def test_a_diagnosis_gives_price_rates_and_phases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(tmp_path, served())
    found = document(capsys, f"tokens --from {file}")
    given = inputs(found)
    assert given["prompt_tok_s"] == (4000.0, "diagnosis")
    assert given["price_usd_h"][1] == "diagnosis"
    usd_h = given["price_usd_h"][0]
    assert found["value"] == pytest.approx(1e6 * usd_h / (3600 * 5000))
    parts = {part["name"]: part["value"] for part in found["parts"]}
    assert parts["prefill_usd_h"] + parts["decode_usd_h"] == pytest.approx(usd_h)
    assert "\x1b" not in cost(capsys, f"tokens --from {file}")


def test_a_flag_sets_aside_what_the_diagnosis_says_of_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, f"tokens --from {saved(tmp_path, served())} --tok-s 100 --price 3.6")
    assert found["value"] == pytest.approx(10.0)
    assert "prompt_tok_s" not in inputs(found)


def test_an_engine_on_two_gpus_has_the_price_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosis = make_diagnosis("memory", "memory")
    engine = msgspec.structs.replace(
        served().serving[0], keys=tuple(v.key for v in diagnosis.verdicts), usd_h=10.0
    )
    file = saved(tmp_path, msgspec.structs.replace(diagnosis, serving=(engine,)))
    found = document(capsys, f"tokens --from {file} --gpu 1")
    assert inputs(found)["gpus"] == (2.0, "diagnosis")
    assert found["value"] == pytest.approx(1e6 * 10.0 / (3600 * 5000))


def test_a_response_from_a_diagnosis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = {
        "good_response_frac": 0.8,
        "prompt_tokens_per_response": 400.0,
        "generation_tokens_per_response": 100.0,
    }
    found = document(capsys, f"response --price 3.6 --from {saved(tmp_path, served(**engine))}")
    assert found["value"] == pytest.approx(500 / 0.8 * 3.6 / (3600 * 5000))


def test_tokens_of_a_response_are_those_that_have_a_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths = {"prompt_tokens_per_response": 400.0, "generation_tokens_per_response": 100.0}
    diagnosis = served(prompt_tok_s=None, good_response_frac=1.0, **lengths)
    found = document(capsys, f"response --price 3.6 --from {saved(tmp_path, diagnosis)}")
    assert inputs(found)["tokens_per_response"] == (100.0, "diagnosis")
    assert found["value"] == pytest.approx(100 * 3.6 / (3600 * 1000))


def test_owning_is_held_against_renting_never_against_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("capex_usd_per_gpu = 31250.0\nkw_per_gpu = 1.275\n")
    monkeypatch.setenv("ADVISOR_CONFIG", str(config))
    assert "breakeven_frac" not in cost(capsys, "tco")
    assert "breakeven_frac" in cost(capsys, "tco --price 6.88")
    assert "cost of ownership" in cost(capsys, "tokens --tok-s 100")


def test_energy_of_a_diagnosis_is_of_its_counter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its readings lie 58 s apart in a window of 60 s, and the joules are of the time between them."""
    diagnosis = make_diagnosis("memory")
    (device,) = diagnosis.provenance.devices
    drawn = electricity(29_000.0, 58.0, ElectricityRates(usd_kwh=0.1, pue=1.0))
    devices = (msgspec.structs.replace(device, energy_j=29_000.0, electricity=drawn),)
    provenance = msgspec.structs.replace(
        diagnosis.provenance, devices=devices, t_start_s=100.0, t_end_s=160.0
    )
    file = saved(tmp_path, msgspec.structs.replace(diagnosis, provenance=provenance, observed=()))
    found = document(capsys, f"energy --from {file} --years 1 --pue 1")
    assert inputs(found)["power_w"] == (500.0, "diagnosis")
    assert found["value"] == pytest.approx(438.0)


def test_of_several_gpus_one_must_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(tmp_path, make_diagnosis("host", "memory"))
    assert "--gpu: 0, 1" in refused(capsys, f"rightsize --from {file}")
    assert "--gpu: 0, 1" in refused(capsys, f"rightsize --from {file} --gpu 7")
    assert "host_bound" in cost(capsys, f"rightsize --from {file} --gpu 1")


def test_a_diagnosis_without_an_engine_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, f"tokens --from {saved(tmp_path, make_diagnosis('memory'))}")
    assert "no one inference engine" in said
    assert "--tok-s" in said


def test_times_of_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "straggler --price 2 --times-s 1,1,1,1.25")
    assert found["value"] == pytest.approx(4 * 2 * 0.2)
    assert {item["source"] for item in found["inputs"]} == {"--price", "--times-s"}


def test_a_narrow_encoding_gets_ascii(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("advisor.cli.output.unicode", lambda: False)
    assert cost(capsys, EXAMPLES["rightsize"].removeprefix("advisor cost ")).isascii()


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(diagnoses())
def test_whatever_a_diagnosis_holds_its_figures_are_possible(diagnosis: Diagnosis) -> None:
    for key in {verdict.key for verdict in diagnosis.verdicts}:
        for name, (value, source) in seen_in(diagnosis, key).figures.items():
            assert QUANTITIES[name].problem(value) == ""
            assert source
