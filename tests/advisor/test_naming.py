"""What a word of --gpu names, whichever command reads it."""

from __future__ import annotations

import pytest

from advisor.naming import Place, SeveralError, named, words

GPU0 = Place("GPU-12ab34cd-0000", 0)
GPU1 = Place("GPU-12ff0000-1111", 1)
MIG1 = Place("MIG-77770000-aaaa", 1, "1g.10gb/7")
MIG2 = Place("MIG-88880000-bbbb", 1, "1g.10gb/8")
ALL = (GPU0, GPU1, MIG1, MIG2, GPU0)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("0", [GPU0]),
        (" 00 ", [GPU0]),
        ("1", [GPU1, MIG1, MIG2]),
        ("1:1", [MIG2]),
        ("1:2", []),
        ("GPU-12AB34CD-0000", [GPU0]),
        ("gpu-12ab", [GPU0]),
        ("12ff", [GPU1]),
        ("mig-8", [MIG2]),
        ("7777", []),  # digits are an index
        ("GPU-", []),
        ("", []),
        ("9" * 9000, []),
    ],
)
def test_a_word(word: str, found: list[Place]) -> None:
    assert named(word, ALL) == found


def test_a_beginning_of_two_is_none_of_them() -> None:
    with pytest.raises(SeveralError, match="GPU-12ab34cd-0000, GPU-12ff0000-1111"):
        named("gpu-12", ALL)


def test_a_device_that_was_moved_is_one() -> None:
    moved = GPU0._replace(gpu=5)
    assert named("gpu-12ab", (*ALL, moved)) == [GPU0, moved]
    assert named("5", (*ALL, moved)) == [moved]


@pytest.mark.parametrize("spec", [None, "", " , ", "all", "0, ALL"])
def test_all(spec: str | None) -> None:
    assert words(spec) is None
    assert words("0, gpu-1 ,") == ("0", "gpu-1")
