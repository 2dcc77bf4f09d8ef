"""Which cloud a node belongs to, and as what type of instance, as far as its firmware's tables say so.

Read is /sys/class/dmi/id alone: no metadata service is asked, since nodes may have no network and the answer
must be the same without. AWS names the instance type there, on Nitro machines and bare metal; other clouds
name themselves only. Sources: AWS "Detect whether a host is an EC2 instance", Azure's and Oracle's chassis
asset tags and the other vendors' names as cloud-init identifies data sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

FOLDER = Path("sys/class/dmi/id")
_FILES = ("sys_vendor", "product_name", "chassis_asset_tag", "bios_version")
_LIMIT_BYTES = 256

AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
ORACLE_TAG = "OracleCloud.com"
_VENDORS = {
    "Amazon EC2": "aws",
    "Google": "gcp",
    "DigitalOcean": "digitalocean",
    "Alibaba Cloud": "alibaba",
    "Hetzner": "hetzner",
    "Scaleway": "scaleway",
    "Vultr": "vultr",
}
PROVIDERS = frozenset({*_VENDORS.values(), "azure", "oracle"})
# p5.48xlarge, p6-b200.48xlarge, u-6tb1.metal
_AWS_TYPE = re.compile(r"[a-z][a-z0-9-]{0,30}\.(?:[a-z0-9]{1,16}|metal-[a-z0-9]{1,12})", re.ASCII)

NOT_SAID = {
    "aws": "this EC2 host's DMI product name is no instance type (Xen machines have none)",
    "gcp": "Compute Engine's DMI names no machine type",
    "azure": "Azure's DMI names no VM size",
}


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """What firmware says of where a node runs. provider: one of PROVIDERS, None where none is recognised.

    instance: the type, such as "p5.48xlarge". why: why there is no instance type; empty when there is one.
    """

    provider: str | None = None
    instance: str | None = None
    why: str = ""


def read_cloud(root: Path = Path("/")) -> Cloud:
    """The cloud of the node whose file system begins at `root`. Never raises."""
    folder = root / FOLDER
    if not folder.is_dir():
        return Cloud(why="no DMI here (/sys/class/dmi/id)")
    return recognised({name: _read(folder / name) for name in _FILES})


def recognised(dmi: Mapping[str, str]) -> Cloud:
    """The cloud by DMI strings: sys_vendor, product_name, chassis_asset_tag, bios_version."""
    provider = _provider(dmi)
    if provider is None:
        return Cloud(why="no cloud is named in this node's DMI")
    product = dmi.get("product_name", "")
    if provider == "aws" and _AWS_TYPE.fullmatch(product):
        return Cloud(provider=provider, instance=product)
    return Cloud(provider=provider, why=NOT_SAID.get(provider, f"{provider}'s DMI names no type of instance"))


def _provider(dmi: Mapping[str, str]) -> str | None:
    vendor, tag = dmi.get("sys_vendor", ""), dmi.get("chassis_asset_tag", "")
    if tag == AZURE_TAG:
        return "azure"
    if tag == ORACLE_TAG:
        return "oracle"
    if vendor == "Xen" and dmi.get("bios_version", "").endswith(".amazon"):
        return "aws"
    return _VENDORS.get(vendor)


def _read(path: Path) -> str:
    """One line of a file, "" where it cannot be read. What is too long for a name is none."""
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except OSError:
        return ""
    return "" if len(data) > _LIMIT_BYTES else data.decode("utf-8", "replace").strip()
