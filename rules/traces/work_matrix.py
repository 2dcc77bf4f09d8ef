"""Products of matrices and convolutions: formulas of rules.traces.work."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from rules.traces.work_shapes import Families, Operands, Work, broadcast

Formula = Callable[[Operands], Work]
_PRODUCT: Families = ("gemm", "moe")
_CONVOLVES: Families = ("convolution", "gemm")


def product(at: int, *, batched: bool) -> Formula:
    """A product of inputs `at` and `at + 1`; earlier inputs are added."""

    def formula(given: Operands) -> Work:
        a, b = given.shape(at), given.shape(at + 1)
        batch, m, k, n = (a[0], a[1], a[2], b[2]) if batched else (1, a[0], a[1], b[1])
        if (b[1] if batched else b[0]) != k or (batched and b[0] != batch):
            raise ValueError
        added = sum(given.bytes_of(i) for i in range(at))
        moved = given.bytes_of(at) + given.bytes_of(at + 1) + added + batch * m * n * given.out_size(at)
        return _matrix(batch, m, n, k, moved)

    return formula


def _matrix(batch: int, m: int, n: int, k: int, moved: float, families: Families = _PRODUCT) -> Work:
    return Work(flops=2.0 * batch * m * n * k, bytes=float(moved), families=families, rows=min(m, n))


def linear(given: Operands) -> Work:
    """x times the transpose of a weight, with a bias."""
    x, w = given.shape(0), given.shape(1)
    if x[-1] != w[-1]:
        raise ValueError
    rows, n = math.prod(x[:-1]), w[0]
    moved = sum(given.bytes_of(i) for i in range(3)) + rows * n * given.out_size(0)
    return _matrix(1, rows, n, x[-1], moved)


def matmul(given: Operands) -> Work:
    """A product that broadcasts, of vectors too."""
    a, b = given.shape(0), given.shape(1)
    a, b = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    if a[-1] != b[-2]:
        raise ValueError
    batch = math.prod(broadcast(a[:-2], b[:-2]))
    moved = given.bytes_of(0) + given.bytes_of(1) + batch * a[-2] * b[-1] * given.out_size(0)
    return _matrix(batch, a[-2], b[-1], a[-1], moved)


def vector(at: int) -> Formula:
    """A matrix, input `at`, times a vector; earlier inputs are added."""

    def formula(given: Operands) -> Work:
        m, k = given.shape(at)
        moved = sum(given.bytes_of(i) for i in range(at + 2)) + m * given.out_size(at)
        return _matrix(1, m, 1, k, moved)

    return formula


def dot(given: Operands) -> Work:
    """Two vectors."""
    (n,) = given.shape(0)
    return _matrix(1, 1, 1, n, given.bytes_of(0) + given.bytes_of(1))


def grouped(given: Operands) -> Work:
    """Rows of a dealt out to the matrices of b by offsets: each row is multiplied once."""
    a, b = given.shape(0), given.shape(1)
    if len(a) != 2 or len(b) != 3 or a[1] != b[1]:
        return Work(unknown="sizes of the groups lie on the device")
    moved = given.bytes_of(0) + given.bytes_of(1) + a[0] * b[2] * given.out_size(0)
    return _matrix(1, a[0], b[2], a[1], moved)


# --- convolutions -----------------------------------------------------------------------------
class Places(msgspec.Struct, frozen=True):
    """Where a convolution's arguments stand."""

    padding: int
    stride: int
    dilation: int
    transposed: int | None = None
    always_transposed: bool = False


def convolution(places: Places) -> Formula:
    """A convolution of input 0 with filter 1; transposed ones multiply as often as they have inputs."""

    def formula(given: Operands) -> Work:
        x, w = given.shape(0), given.shape(1)
        if len(x) < 3 or len(x) != len(w):
            raise ValueError
        filters = math.prod(w[1:])
        if _transposed(given, places):
            return _convolved(given, 2.0 * math.prod(x) * filters, None)
        out = _out_shape(given, places, x, w)
        if out is None:
            return Work(unknown="stride and padding are not in the trace", families=_CONVOLVES)
        return _convolved(given, 2.0 * math.prod(out) * filters, math.prod(out))

    return formula


def _transposed(given: Operands, places: Places) -> bool:
    if places.always_transposed:
        return True
    if places.transposed is None:
        return False
    return given.flag(places.transposed) is True


def _out_shape(
    given: Operands, places: Places, x: tuple[int, ...], w: tuple[int, ...]
) -> tuple[int, ...] | None:
    spatial = len(x) - 2
    found = [given.numbers(at, spatial) for at in (places.padding, places.stride, places.dilation)]
    if any(part is None for part in found):
        return None
    padding, stride, dilation = (part or () for part in found)
    sizes = [
        (x[2 + i] + 2 * padding[i] - dilation[i] * (w[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(spatial)
    ]
    if min(sizes) < 1:
        raise ValueError
    return (x[0], w[0], *sizes)


def _convolved(given: Operands, flops: float, out: int | None) -> Work:
    inputs = given.bytes_of(0) + given.bytes_of(1)
    moved = None if out is None else float(inputs + out * given.out_size(0))
    why = "" if moved is not None else "the output's size is not in the trace"
    return Work(flops=flops, bytes=moved, unknown=why, families=_CONVOLVES)


def convolution_backward(given: Operands) -> Work:
    """Gradients of input and filter, as far as both were asked for."""
    grad, x, w = given.shape(0), given.shape(1), given.shape(2)
    mask, transposed = given.flags(10), given.flag(7)
    if mask is None or len(mask) < 2 or transposed is None:
        return Work(unknown="which gradients were asked for is not in the trace", families=_CONVOLVES)
    each = 2.0 * math.prod(x if transposed else grad) * math.prod(w[1:])
    wanted = int(mask[0]) + int(mask[1])
    inputs = given.bytes_of(0) + mask[0] * 2 * given.bytes_of(2) + mask[1] * 2 * given.bytes_of(1)
    return Work(flops=each * wanted, bytes=float(inputs), families=_CONVOLVES)


def input_gradient(given: Operands) -> Work:
    """Gradient of a convolution's input."""
    grad, w = given.shape(1), given.shape(2)
    return Work(
        flops=2.0 * math.prod(grad) * math.prod(w[1:]),
        unknown="the input's size is not in the trace",
        families=_CONVOLVES,
    )


def weight_gradient(given: Operands) -> Work:
    """Gradient of a convolution's filter."""
    grad, size = given.shape(1), given.numbers(0, None)
    if size is None:
        return Work(unknown="the filter's size is not in the trace", families=_CONVOLVES)
    moved = given.bytes_of(1) + given.bytes_of(2) + math.prod(size) * given.out_size(1)
    return Work(flops=2.0 * math.prod(grad) * math.prod(size[1:]), bytes=float(moved), families=_CONVOLVES)
