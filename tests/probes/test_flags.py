"""torch's global flags are what they were, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from probes.flags import cpu_threads, gemm_flags, version

torch = pytest.importorskip("torch")


def state() -> dict[str, Any]:
    matmul = torch.backends.cuda.matmul
    return {
        "cublas": matmul.fp32_precision,
        "onednn": torch.backends.mkldnn.matmul.fp32_precision,
        "cudnn": torch.backends.cudnn.conv.fp32_precision,
        "fp16": matmul.allow_fp16_accumulation,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn": torch.is_deterministic_algorithms_warn_only_enabled(),
        "threads": torch.get_num_threads(),
    }


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    before = state()
    yield
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn"])
    torch.backends.cuda.matmul.fp32_precision = before["cublas"]
    torch.backends.cuda.matmul.allow_fp16_accumulation = before["fp16"]


@pytest.mark.parametrize("found", ["none", "ieee", "tf32"])
@pytest.mark.parametrize("wanted", ["ieee", "tf32"])
def test_fp32_precision_holds_within_and_is_put_back(found: str, wanted: Any) -> None:
    torch.backends.cuda.matmul.fp32_precision = found
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = state()
    with gemm_flags(torch, wanted, fp16_accumulation=True):
        assert torch.backends.cuda.matmul.fp32_precision == wanted
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.allow_fp16_accumulation is True
        assert not torch.are_deterministic_algorithms_enabled()
    assert state() == before


def test_an_exception_leaves_nothing_behind() -> None:
    torch.backends.cuda.matmul.allow_fp16_accumulation = True
    before = state()
    with pytest.raises(ZeroDivisionError), gemm_flags(torch, "tf32"), cpu_threads(torch, 1):
        assert torch.backends.cuda.matmul.allow_fp16_accumulation is False
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert state() == before


def test_a_flag_that_cannot_be_set_leaves_the_others_as_they_were() -> None:
    before = state()
    with pytest.raises(RuntimeError), gemm_flags(torch, "no such precision"):  # type: ignore[arg-type]
        pytest.fail("never entered")
    assert state() == before


class OldTorch:
    """A torch before 2.9: no fp32_precision, and no fp16 accumulation before 2.7."""

    __version__ = "2.6.0+cu124"

    def __init__(self) -> None:
        self.backends = SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace()))
        self.precision = "medium"
        self.deterministic = (True, False)

    def get_float32_matmul_precision(self) -> str:
        return self.precision

    def set_float32_matmul_precision(self, value: str) -> None:
        self.precision = value

    def are_deterministic_algorithms_enabled(self) -> bool:
        return self.deterministic[0]

    def is_deterministic_algorithms_warn_only_enabled(self) -> bool:
        return self.deterministic[1]

    def use_deterministic_algorithms(self, mode: bool, *, warn_only: bool) -> None:
        self.deterministic = (mode, warn_only)


@pytest.mark.parametrize(("wanted", "meant"), [("ieee", "highest"), ("tf32", "high")])
def test_before_2_9_only_the_older_flag_is_touched(wanted: Any, meant: str) -> None:
    old = OldTorch()
    with gemm_flags(old, wanted, fp16_accumulation=True):
        assert old.precision == meant
        assert old.deterministic == (False, False)
    assert (old.precision, old.deterministic) == ("medium", (True, False))
    assert not vars(old.backends.cuda.matmul)


def test_deterministic_algorithms_are_left_alone_where_they_are_off() -> None:
    old = OldTorch()
    old.deterministic = (False, True)
    with gemm_flags(old):
        assert old.deterministic == (False, True)


@pytest.mark.parametrize(
    ("text", "parts"), [("2.13.0+cpu", (2, 13)), ("2.9.0a0+git", (2, 9)), ("unknown", (0, 0))]
)
def test_versions(text: str, parts: tuple[int, int]) -> None:
    assert version(SimpleNamespace(__version__=text)) == parts
