"""What DMI tells of a cloud, over made-up folders: the vendors' own strings, and anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cloud import AZURE_TAG, FOLDER, PROVIDERS, Cloud, read_cloud, recognised

NITRO = {"sys_vendor": "Amazon EC2", "product_name": "p5.48xlarge", "chassis_asset_tag": "Amazon EC2"}
XEN = {"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.11.amazon"}
GOOGLE = {"sys_vendor": "Google", "product_name": "Google Compute Engine"}
AZURE = {
    "sys_vendor": "Microsoft Corporation",
    "product_name": "Virtual Machine",
    "chassis_asset_tag": AZURE_TAG,
}


def dmi(root: Path, **texts: str) -> Path:
    folder = root / FOLDER
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("texts", "provider", "instance"),
    [
        (NITRO, "aws", "p5.48xlarge"),
        ({**NITRO, "product_name": "p6-b200.48xlarge"}, "aws", "p6-b200.48xlarge"),
        ({**NITRO, "product_name": "g4dn.metal"}, "aws", "g4dn.metal"),
        ({**NITRO, "product_name": "c7i.metal-24xl"}, "aws", "c7i.metal-24xl"),
        (XEN, "aws", None),
        (GOOGLE, "gcp", None),
        (AZURE, "azure", None),
        ({"sys_vendor": "QEMU", "chassis_asset_tag": "OracleCloud.com"}, "oracle", None),
        ({"sys_vendor": "DigitalOcean", "product_name": "Droplet"}, "digitalocean", None),
        ({"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine"}, None, None),
        ({"sys_vendor": "Xen", "bios_version": "4.11"}, None, None),
        ({"sys_vendor": "Supermicro", "product_name": "p5.48xlarge"}, None, None),
        ({}, None, None),
    ],
)
def test_clouds_by_their_own_strings(
    tmp_path: Path, texts: dict[str, str], provider: str | None, instance: str | None
) -> None:
    found = read_cloud(dmi(tmp_path, **texts))
    assert (found.provider, found.instance) == (provider, instance)
    assert bool(found.why) == (instance is None)


@pytest.mark.parametrize(
    "product",
    [
        "",
        "p5",
        "p5.48xlarge\x1b[31m",
        "p5.48 xlarge",
        "P5.48XLARGE",
        "x" * 300,
        "../p5.x",
        "p5.48xlarge\nq",
        "٣.x",
    ],
)
def test_a_product_name_that_is_no_type_is_left(tmp_path: Path, product: str) -> None:
    found = read_cloud(dmi(tmp_path, sys_vendor="Amazon EC2", product_name=product))
    assert (found.provider, found.instance) == ("aws", None)
    assert "product name" in found.why


def test_no_dmi_is_no_cloud(tmp_path: Path) -> None:
    assert read_cloud(tmp_path) == Cloud(why="no DMI here (/sys/class/dmi/id)")


def test_files_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    (folder / "sys_vendor").mkdir(parents=True)
    (folder / "product_name").write_bytes(b"\xff\xfe" * 20)
    assert read_cloud(tmp_path).provider is None


@given(
    st.dictionaries(st.sampled_from(sorted({*NITRO, *XEN})), st.text(max_size=300) | st.just("Amazon EC2"))
)
def test_any_text_gives_a_known_provider_and_a_plain_type(texts: dict[str, str]) -> None:
    found = recognised(texts)
    assert found.provider is None or found.provider in PROVIDERS
    assert found.instance is None or (found.instance.isascii() and found.instance.isprintable())
    assert (found.instance is None) == bool(found.why)
