"""Numbers of weight files and float32: safetensors' names of types, and conversion with round to nearest even."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from rl_reason.merging.methods.method import F32, exactly

Raw = NDArray[np.generic]

STORED: dict[str, np.dtype] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""safetensors' name of a floating-point type -> how numpy holds it; bfloat16 as its 16 bits."""
NAMES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}
"""torch's name -> safetensors'."""
_HALF, _SHIFT, _ONE = np.uint32(0x7FFF), np.uint32(16), np.uint32(1)


def widened(raw: Raw, dtype: str) -> F32:
    """As float32, newly made."""
    if dtype != "BF16":
        return raw.astype(np.float32)
    bits = raw.astype(np.uint32)
    np.left_shift(bits, _SHIFT, out=bits)
    return bits.view(np.float32)


def narrowed(values: F32, dtype: str) -> Raw:
    """As stored."""
    if dtype != "BF16":
        with np.errstate(over="ignore"):  # float16 has infinities for what is too large
            return values.astype(STORED[dtype])
    bits = _rounded_bits(values)
    np.right_shift(bits, _SHIFT, out=bits)
    return bits.astype(np.uint16)


def common(dtypes: Iterable[str]) -> str:
    """The type that holds the values of all of these: the one where they are equal, else float32 or float64."""
    found = set(dtypes)
    return found.pop() if len(found) == 1 else "F64" if "F64" in found else "F32"


def rounding(dtype: str) -> Callable[[F32], F32]:
    """float32 values -> the nearest ones that the type has."""
    if dtype == "BF16":
        return lambda values: (_rounded_bits(values) & np.uint32(0xFFFF0000)).view(np.float32)
    if dtype == "F16":
        return lambda values: narrowed(values, dtype).astype(np.float32)
    return exactly


def _rounded_bits(values: F32) -> NDArray[np.uint32]:
    """Bits whose upper half is the bfloat16."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits >> _SHIFT
    rounded &= _ONE
    rounded += _HALF
    rounded += bits
    with np.errstate(invalid="ignore", over="ignore"):
        suspicious = values.size > 0 and np.isnan(np.max(values))  # a NaN is the largest
    if suspicious:  # adding to the bits of a NaN may carry into its sign
        nan = np.isnan(values)
        rounded[nan] = bits[nan] | np.uint32(0x00400000)
    return rounded
