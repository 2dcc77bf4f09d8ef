"""A price always says whose it is, and no dirty row ever sets one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.config import Config, ConfigError, LoadedConfig, load
from advisor.owned import owned_usd_h
from advisor.price_table import bundled_rows, model_of
from advisor.prices import NodeFacts, candidates, facts_of, in_force, node_entry, price_for
from advisor.reports.redact import host_hash
from advisor.telemetry.records import HostInfo

H100 = ("NVIDIA H100 80GB HBM3", 81559 << 20)
CONFIG = Config(price_usd_h=3.0, prices={"H100": 4.0})


@pytest.mark.parametrize(
    ("given", "usd_h", "basis"),
    [
        ({"flag": 1.0, "env": {"ADVISOR_PRICE": "2"}, "config": CONFIG}, 1.0, "user"),
        ({"env": {"ADVISOR_PRICE": "2"}, "config": CONFIG}, 2.0, "environment"),
        ({"env": {"ADVISOR_PRICE": ""}, "config": CONFIG}, 4.0, "config"),
        ({"config": Config(price_usd_h=3.0)}, 3.0, "config"),
        ({"config": Config()}, 6.88, "bundled"),
        ({}, 6.88, "bundled"),
    ],
)
def test_flag_beats_environment_beats_config_beats_table(
    given: dict[str, Any], usd_h: float, basis: str
) -> None:
    price = price_for(*H100, **given)
    assert (price.usd_h, price.basis) == (usd_h, basis)


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 80GB HBM3", "h100 80gb hbm3", "H100 SXM5 80GB", "h100", "  H100 "]
)
def test_a_model_in_the_configuration_goes_by_any_of_its_names(name: str) -> None:
    assert price_for(*H100, config=Config(prices={name: 4.0})).usd_h == 4.0


def test_the_most_exact_name_wins_and_the_source_names_it() -> None:
    config = LoadedConfig(prices={"H100": 4.0, "H100 SXM5 80GB": 5.0}, path="/x/config.toml")
    price = price_for(*H100, config=config)
    assert price.usd_h == 5.0
    assert price.source == '[prices] "H100 SXM5 80GB" in /x/config.toml'


def test_a_flag_that_reached_the_configuration_beats_its_table() -> None:
    for origin, basis in (("flag", "user"), ("environment", "environment")):
        config = LoadedConfig(price_usd_h=2.0, prices={"H100": 4.0}, origins={"price_usd_h": origin})
        assert (price_for(*H100, config=config).usd_h, price_for(*H100, config=config).basis) == (2.0, basis)


def test_an_unknown_card_can_still_be_priced_by_its_name() -> None:
    config = Config(prices={"NVIDIA Foo 9000": 1.5})
    assert price_for("NVIDIA Foo 9000", None, config=config).usd_h == 1.5


def test_a_bundled_price_says_provider_instance_region_date_and_range() -> None:
    price = price_for(*H100)
    assert price.source == (
        "bundled table: aws p5.48xlarge on-demand / 8, us-west-2, catalog date unknown, commit 2c3d7ea"
    )
    assert price.notes == (
        "on-demand rows for this model span $2.95 to $10.98",
        "the catalogue's date is not known",
    )


@pytest.mark.parametrize(
    ("name", "usd_h"),
    [
        ("Tesla T4", 0.526),
        ("NVIDIA L4", 0.8048),
        ("NVIDIA A100-SXM4-80GB", 3.4309),
        ("NVIDIA A100 80GB PCIe", 1.39),
        ("NVIDIA A100-SXM4-40GB", 2.7447),
        ("Tesla V100-SXM2-16GB", 3.06),
        ("Tesla V100-SXM2-32GB", 3.9015),
        ("NVIDIA B200", 14.2416),
        ("NVIDIA RTX A6000", 1.09),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 6.88),
    ],
)
def test_bundled_prices_by_driver_name(name: str, usd_h: float) -> None:
    assert price_for(name, None).usd_h == usd_h


def test_without_the_default_provider_the_median_row_is_named() -> None:
    price = price_for("NVIDIA A100 80GB PCIe", None)
    assert "runpod" in price.source
    assert "median of 2 rows" in price.source


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA L40", "Tesla P100-PCIE-16GB", "Something", ""]
)
def test_a_model_without_a_clean_row_has_no_price(name: str) -> None:
    price = price_for(name, None)
    assert (price.usd_h, price.basis) == (None, "none")
    assert "--price" in price.source


def test_dirty_rows_are_in_the_table_and_set_no_price() -> None:
    dirty = {row.usd_h for row in bundled_rows() if not row.clean}
    assert {2.9458, 5.3833, 8.055, 1.46} <= dirty
    clean = [row for row in bundled_rows() if row.clean]
    assert all(row.host_included and "ANOMALY" not in row.note for row in clean)


@pytest.mark.parametrize("text", ["free", "-1", "nan", "inf", "1e9"])
def test_an_amount_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="ADVISOR_PRICE"):
        price_for(*H100, env={"ADVISOR_PRICE": text})


def test_a_flag_that_is_no_amount_is_refused() -> None:
    with pytest.raises(ConfigError, match="--price"):
        price_for(*H100, flag=-1.0)


# --- the order ---------------------------------------------------------------------------------

HERE = NodeFacts(
    host=host_hash("gpu-a01"),
    names=("gpu-a01.example",),
    provider="aws",
    instance="p5.4xlarge",
    partition="h100",
    label="pool-b",
)
# Each place with the settings that make it answer, first first. Every one answers with another price.
PLACES: tuple[tuple[str, dict[str, Any], float, str], ...] = (
    ("--price", {"flag": 1.0}, 1.0, "user"),
    ("ADVISOR_PRICE", {"env": {"ADVISOR_PRICE": "2"}}, 2.0, "environment"),
    ("[node_prices]", {"node_prices": {"gpu-a*": 3.0}}, 3.0, "config"),
    ("[job_prices]", {"job_prices": {"partition:h100": 4.0}}, 4.0, "config"),
    ("[prices]", {"prices": {"H100": 5.0}}, 5.0, "config"),
    ("price_usd_h", {"price_usd_h": 6.0}, 6.0, "config"),
    (
        "cost of ownership",
        {"capex_usd_per_gpu": 35040.0, "maintenance_frac_y": 0.0, "life_y": 0.5},
        8.0,
        "config",
    ),
    ("instance type", {"node": HERE}, 6.88, "instance"),
    ("bundled table", {"price_provider": "gcp"}, 10.9791, "bundled"),
)


def asked(*places: tuple[str, dict[str, Any], float, str]) -> dict[str, Any]:
    """Arguments with which exactly these places answer; the table always does."""
    merged: dict[str, Any] = {}
    for _, given_, _, _ in places:
        merged |= given_
    outside: dict[str, Any] = {name: merged.pop(name) for name in ("flag", "env", "node") if name in merged}
    instance = any(place == "instance type" for place, *_ in places)
    outside["node"] = HERE if instance else msgspec.structs.replace(HERE, instance=None)
    return {**outside, "config": Config(**merged)}


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_each_place_beats_all_that_come_after_it(first: int) -> None:
    name, _, usd_h, basis = PLACES[first]
    places = candidates(model_of(*H100), **asked(*PLACES[first:]))
    assert [place.place for place in places] == [place for place, *_ in PLACES]
    assert in_force(places).usd_h == pytest.approx(usd_h)
    assert in_force(places).basis == basis
    assert [place.place for place in places if place.price is None] == [p for p, *_ in PLACES[:first]]
    assert all(place.why for place in places[:first])
    assert name == places[first].place


@given(st.sets(st.integers(0, len(PLACES) - 1)))
def test_of_any_places_that_answer_the_first_sets_the_price(chosen: set[int]) -> None:
    given_ = [PLACES[i] for i in sorted({*chosen, len(PLACES) - 1})]
    price = price_for(*H100, **asked(*given_))
    assert price.usd_h == pytest.approx(given_[0][2])
    assert price.basis == given_[0][3]


# --- by node -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "hit"),
    [
        (["gpu-a01.example"], "gpu-a01.example"),
        (["GPU-A01"], "GPU-A01"),
        (["gpu-*", "gpu-a0*"], "gpu-a0*"),
        (["gpu-a0?.example", "gpu-a01"], "gpu-a01"),
        ([HERE.host], HERE.host),
        (["node-*"], "node-*"),
        (["gpu-b*", "a01"], None),
        ([], None),
    ],
)
def test_the_closest_entry_for_a_node(entries: list[str], hit: str | None) -> None:
    assert node_entry(dict.fromkeys(entries, 1.0), HERE) == hit


def test_a_recorded_node_is_found_by_its_whole_name_and_its_pseudonym() -> None:
    recorded = NodeFacts(host=host_hash("gpu-a01"))
    assert node_entry({"gpu-a01": 1.0}, recorded) == "gpu-a01"
    assert node_entry({recorded.host: 1.0}, recorded) == recorded.host
    assert node_entry({"gpu-a*": 1.0}, recorded) is None
    places = candidates(model_of(*H100), config=Config(node_prices={"gpu-a*": 1.0}), node=recorded)
    assert "patterns cannot match" in next(p.why for p in places if p.place == "[node_prices]")


def test_a_source_never_spells_a_node_s_name() -> None:
    for entry in ("gpu-a01.example", "gpu-a*"):
        price = price_for(*H100, config=Config(node_prices={entry: 3.0}), node=HERE)
        assert "gpu-a" not in price.source
        assert HERE.host in price.source


@given(st.dictionaries(st.text(max_size=30), st.just(1.0), max_size=5), st.text(max_size=30))
def test_any_entries_and_any_name_give_an_entry_or_none(entries: dict[str, float], name: str) -> None:
    found = node_entry(entries, NodeFacts(host="node-000000", names=(name,)))
    assert found is None or found in entries


# --- by job ------------------------------------------------------------------------------------

JOBS = Config(job_prices={"partition:h100": 4.0, "partition:night": 1.0, "label:pool-b": 5.0})


@pytest.mark.parametrize(
    ("node", "partition", "usd_h"),
    [
        (HERE, "night", 1.0),
        (HERE, None, 4.0),
        (HERE, "other", 5.0),
        (NodeFacts(label="pool-b"), None, 5.0),
        (NodeFacts(label="Pool-B"), None, 6.88),
        (NodeFacts(), None, 6.88),
    ],
)
def test_a_job_s_partition_beats_the_node_s_which_beats_its_label(
    node: NodeFacts, partition: str | None, usd_h: float
) -> None:
    price = price_for(
        *H100, config=JOBS, node=msgspec.structs.replace(node, instance=None), partition=partition
    )
    assert price.usd_h == usd_h


@pytest.mark.parametrize(
    ("origin", "recorded", "usd_h"),
    [
        ("environment", "pool-b", 7.0),
        ("config", "pool-b", 5.0),
        ("config", "", 7.0),
        ("default", "pool-b", 5.0),
    ],
)
def test_a_recording_s_label_yields_to_one_that_is_given_on_purpose(
    origin: str, recorded: str, usd_h: float
) -> None:
    entries = {"label:pool-b": 5.0, "label:mine": 7.0}
    config = LoadedConfig(job_prices=entries, label="mine", origins={"label": origin})
    assert price_for(*H100, config=config, node=NodeFacts(label=recorded)).usd_h == usd_h


# --- by purchase -------------------------------------------------------------------------------


def test_cost_of_ownership_spells_its_formula_and_marks_defaults() -> None:
    config = load(
        {}, {"ADVISOR_CAPEX_USD_PER_GPU": "31250", "ADVISOR_KW_PER_GPU": "1.275", "ADVISOR_CONFIG": ""}
    )
    price = owned_usd_h(config)
    assert price is not None
    assert price.usd_h == pytest.approx(1.266, abs=1e-3)
    assert price.basis == "config"
    assert price.source == (
        "cost of ownership: $31,250 / 4 y* + 5 % of it a year* + 1.275 kW x PUE 1.54* x $0.10/kWh* + "
        "staff $0.00/h*; * default"
    )


def test_a_figure_that_was_set_has_no_star() -> None:
    config = LoadedConfig(capex_usd_per_gpu=100.0, life_y=4.0, pue=1.54, origins={"life_y": "config"})
    price = owned_usd_h(config)
    assert price is not None
    assert "/ 4 y +" in price.source


def test_what_cost_of_ownership_leaves_out_is_a_note() -> None:
    price = owned_usd_h(Config(capex_usd_per_gpu=31250.0, utilisation_frac=0.4))
    assert price is not None
    assert "a lower bound" in price.notes[0]
    assert "at 40 %" in price.notes[1]
    assert owned_usd_h(Config()) is None


# --- by instance and table ---------------------------------------------------------------------


def test_an_instance_type_s_row_says_that_the_region_is_not_known() -> None:
    price = price_for(*H100, node=HERE)
    assert price.source.startswith("instance type by DMI: aws p5.4xlarge on-demand, us-east-2")
    assert price.notes[0] == "the node's region is not known; the row is of us-east-2"


@pytest.mark.parametrize(
    ("name", "provider", "instance"),
    [
        (H100[0], "aws", "p5e.48xlarge"),
        (H100[0], "gcp", "p5.4xlarge"),
        (H100[0], None, None),
        ("NVIDIA L4", "aws", "p5.4xlarge"),
    ],
)
def test_an_instance_without_a_row_for_this_gpu_is_priced_by_the_table(
    name: str, provider: str | None, instance: str | None
) -> None:
    price = price_for(name, None, node=NodeFacts(provider=provider, instance=instance))
    assert price.basis == "bundled"


def test_a_node_on_another_cloud_than_the_price_is_a_note() -> None:
    price = price_for(*H100, node=NodeFacts(provider="gcp", instance_why="no machine type"))
    assert price.notes[0] == "this node is on gcp by its DMI, the price is aws's"


def test_the_provider_that_is_preferred() -> None:
    assert price_for(*H100, config=Config(price_provider=" Lambda ")).usd_h == 3.99
    price = price_for(*H100, config=Config(price_provider="nobody"))
    assert price.notes[0] == "nobody has no clean row for this model"
    # Of the clean rows that are not old: 2.95, 3.99, 6.88, 6.88, 10.98.
    assert (price.usd_h, "median of 5 rows" in price.source) == (6.88, True)


def test_facts_of_a_header_keep_only_clouds_that_are_known() -> None:
    host = HostInfo(host="node-000000", provider="\x1b[31mevil", instance="p5.4xlarge", label="x")
    assert facts_of(host).provider is None
    assert price_for(*H100, node=facts_of(host)).basis == "bundled"
