"""Misaligned shapes: when the rule speaks, what it names, and that its dollars are counted once."""

from __future__ import annotations

from typing import Any

import pytest

from rules.catalogue.traces_shapes import misaligned_shapes, odd_sizes
from rules.registry import run_rules
from rules.traces.kernel_records import KernelRow
from rules.whatifs import trace_levers as levers
from tests.rules.traces.made import make_context, make_kernel, make_trace

BMM = ((16, 5185, 64), (16, 64, 5185))


def odd(frac: float = 0.4, **more: Any) -> KernelRow:
    facts: dict[str, Any] = {
        "family": "gemm", "nature": "compute", "precision": "bf16", "tensor": "used", "misaligned": True,
        "op": "aten::bmm", "op_dims": BMM,
    }  # fmt: skip
    return make_kernel("synthetic_align1", frac, **(facts | more))


@pytest.mark.parametrize(
    ("facts", "sizes"),
    [
        ({}, (5185,)),
        ({"precision": "tf32", "op_dims": ((512, 2862), (512,), (4096, 2862))}, (2862,)),
        ({"precision": "tf32", "op_dims": ((64, 12), (12, 20))}, ()),
        ({"precision": "fp8", "op_dims": ((64, 24), (24, 32))}, (24,)),
        ({"op_dims": ((1, 64), (64, 1))}, ()),
        ({"family": "convolution", "op_dims": ((5, 3, 7, 7), (64, 3, 7, 7), (64,))}, (3,)),
        ({"op_dims": ()}, ()),
    ],
)
def test_sizes_that_are_no_multiples_of_16_bytes(facts: dict[str, Any], sizes: tuple[int, ...]) -> None:
    assert odd_sizes(odd(**facts)) == sizes


def test_it_names_the_size_its_operator_and_what_to_pad_it_to() -> None:
    found = misaligned_shapes(make_context(make_trace(kernels=(odd(),))))
    assert found is not None
    assert "40 %" in found.claim
    assert "5185 in aten::bmm is no multiple of 8" in found.claim
    assert found.actions[0].startswith("Pad 5185 to 5192")
    assert found.effect is not None
    assert found.effect.low == 1.0
    assert found.effect.high == pytest.approx(1.0 / 0.8)


def test_sizes_of_kernels_that_take_next_to_no_time_are_not_named() -> None:
    tiny = odd(0.001, op_dims=((12, 5, 64), (12, 64, 5)))
    found = misaligned_shapes(make_context(make_trace(kernels=(odd(), tiny))))
    assert found is not None
    assert not any("Pad 5 " in action for action in found.actions)


def test_without_shapes_it_asks_for_them() -> None:
    found = misaligned_shapes(make_context(make_trace(kernels=(odd(op=None, op_dims=()),))))
    assert found is not None
    assert "multiple" not in found.claim
    assert any("record_shapes" in action for action in found.actions)


@pytest.mark.parametrize(
    "row",
    [odd(0.04), odd(misaligned=False), odd(misaligned=None), odd(tensor="eligible", precision="fp32")],
    ids=["little", "aligned", "unknown", "no tensor cores"],
)
def test_it_is_silent(row: KernelRow) -> None:
    assert misaligned_shapes(make_context(make_trace(kernels=(row,)))) is None


def test_no_kernel_gets_faster_than_its_roof_allows() -> None:
    trace = make_trace(kernels=(odd(compute_frac=0.8, known_frac=1.0),))
    plan = levers.alignment(trace, {"compute": 1.0})
    assert plan is not None
    assert plan.levers[0].high == pytest.approx(1.25)


def test_its_dollars_are_not_added_to_those_of_kernels_below_their_roofs() -> None:
    slow = odd(nature_basis="shape", compute_frac=0.2, known_frac=1.0)
    found = run_rules(make_context(make_trace(kernels=(slow,))))
    roles = {f.code: f.role for f in found if f.term == "inefficiency"}
    assert roles == {"TRACE016": "primary", "TRACE022": "contributing"}
