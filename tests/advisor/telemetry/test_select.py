"""Which devices a person means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry.records import DeviceInfo
from advisor.telemetry.select import select_devices

A = DeviceInfo(key="GPU-aaaa1111-1", index=0, name="x", uuid="GPU-aaaa1111-1")
B = DeviceInfo(key="GPU-aabb2222-2", index=1, name="x", uuid="GPU-aabb2222-2", mig_enabled=True)
B0 = DeviceInfo(key="MIG-cccc-0", index=1, name="x", uuid="MIG-cccc-0", parent_key=B.key, gi_id=7, ci_id=0)
B1 = DeviceInfo(key="MIG-dddd-1", index=1, name="x", uuid="MIG-dddd-1", parent_key=B.key, gi_id=8, ci_id=0)
C = DeviceInfo(key="GPU-cccc3333-3", index=2, name="x", uuid="GPU-cccc3333-3")
ALL = (A, B, B0, B1, C)


def chosen(spec: str | None, **env: str) -> tuple[DeviceInfo, ...]:
    return select_devices(ALL, spec, env)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("all", ALL),
        ("0", (A,)),
        ("2, 0", (C, A)),
        ("0,0", (A,)),
        ("1", (B, B0, B1)),
        ("1:1", (B1,)),
        ("GPU-aaaa", (A,)),
        ("gpu-AAAA1111-1", (A,)),
        ("aaaa", (A,)),
        ("GPU-cccc", (C,)),
        ("MIG-dddd-1", (B1,)),
        ("MIG-cccc", (B0,)),
        ("MIG-GPU-aabb2222-2/8/0", (B1,)),
    ],
)
def test_selections(spec: str, expected: tuple[DeviceInfo, ...]) -> None:
    assert chosen(spec) == expected


def test_the_old_name_of_an_instance() -> None:
    parent = DeviceInfo(key="GPU-12ab", index=0, name="x", uuid="GPU-12ab", mig_enabled=True)
    child = DeviceInfo(key="MIG-1", index=0, name="x", uuid="MIG-1", parent_key="GPU-12ab", gi_id=3, ci_id=1)
    assert select_devices((parent, child), "MIG-GPU-12ab/3/1", {}) == (child,)


@pytest.mark.parametrize("spec", ["9", "1:7", "GPU-", "GPU-ffff", "", ",", "x", "-1"])
def test_what_is_not_there_is_an_error_that_says_what_is(spec: str) -> None:
    with pytest.raises(ValueError, match=r"there is 0, 1, 1:0, 1:1, 2 \(or a UUID, or all\)"):
        chosen(spec)


def test_an_ambiguous_beginning() -> None:
    with pytest.raises(ValueError, match="GPU-aaaa1111-1, GPU-aabb2222-2"):
        chosen("GPU-aa")


def test_without_a_gpu() -> None:
    with pytest.raises(ValueError, match="there is no GPU here"):
        select_devices((), "0", {})


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        ("0,9,2", (A,)),
        ("0,-1,2", (A,)),
        ("1", (B0,)),
        ("GPU-cccc", (C,)),
        ("GPU-aa,2", ()),
        ("MIG-dddd-1", (B1,)),
        (" 0 , 2", (A, C)),
        ("2,2", (C,)),
        ("all", ()),
    ],
)
def test_cuda_visible_devices(visible: str, expected: tuple[DeviceInfo, ...]) -> None:
    assert chosen(None, CUDA_VISIBLE_DEVICES=visible) == expected


def test_the_flag_wins_over_the_environment() -> None:
    assert chosen("0", CUDA_VISIBLE_DEVICES="2") == (A,)


def test_everything_by_default() -> None:
    assert chosen(None) == ALL


@given(st.text())
def test_any_text_selects_or_is_refused_in_words(text: str) -> None:
    try:
        assert all(device in ALL for device in chosen(text))
    except ValueError as error:
        assert "GPU" in str(error) or "UUID" in str(error)
    assert all(device in ALL for device in chosen(None, CUDA_VISIBLE_DEVICES=text))
