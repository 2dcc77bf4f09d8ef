"""A price always says whose it is, and no dirty row ever sets one."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.config import Config, ConfigError, LoadedConfig
from advisor.price_table import bundled_rows
from advisor.prices import price_for

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
