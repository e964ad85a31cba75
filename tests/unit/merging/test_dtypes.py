from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_reason.merging.dtypes import common, narrowed, rounding, widened

TORCH = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}


@pytest.mark.parametrize("dtype", TORCH)
def test_conversions_are_torchs(dtype: str):
    random = np.random.default_rng(0)
    values = random.standard_normal((70, 33), np.float32) * (10.0 ** random.integers(-30, 30, (70, 33))).astype(
        np.float32
    )
    values[0, :5] = [0.0, -0.0, np.inf, -np.inf, 1 + 2**-8]  # the last one lies between two bfloat16s
    wanted = torch.from_numpy(values).to(TORCH[dtype])
    raw = narrowed(values, dtype)
    bits = raw.view(np.uint16) if dtype in ("BF16", "F16") else raw
    theirs = wanted.view(torch.int16).numpy().view(np.uint16) if dtype in ("BF16", "F16") else wanted.numpy()
    assert np.array_equal(bits, theirs)
    assert np.array_equal(widened(raw, dtype), wanted.float().numpy())
    assert np.array_equal(rounding(dtype)(values), wanted.float().numpy())


def test_nan_stays_nan_in_bfloat16():
    odd = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], np.uint32).view(np.float32)
    assert np.isnan(widened(narrowed(odd, "BF16"), "BF16")).all()
    mixed = np.array([1.0, np.nan, -2.0], np.float32)
    found = widened(narrowed(mixed, "BF16"), "BF16")
    assert found[0] == 1 and np.isnan(found[1]) and found[2] == -2


def test_different_types_meet_in_float32():
    assert [common(["BF16", "BF16"]), common(["BF16", "F16"]), common(["F32", "F64"])] == ["BF16", "F32", "F64"]
