"""A data-flow model in memory, exported, and run by plain transformers where this project cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from rl_reason.errors import MergeError
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.merging.evolution.composition import compose
from rl_reason.merging.evolution.data_flow import open_decoders, plan_data_flow
from rl_reason.merging.run import merge

PATH = [[0, 0], [1, 1], [0, 1], [1, 1], [0, 0], [0, 2]]
SCALES = [1.0, 0.7, 1.1, 0.9, 1.3, 0.5]
TOKENS = torch.tensor([[20, 30, 40, 50, 60, 70], [99, 98, 97, 20, 30, 31]])


def model(folder: Path, seed: int, *, architecture: str = "qwen2", tied: bool = True, hidden: int = 64) -> Path:
    build_scratch_model(
        folder, architecture=architecture, hidden_size=hidden, layers=3, heads=2, kv_heads=1, intermediate_size=96,
        max_position_embeddings=128, tied_embeddings=tied, seed=seed,
    )  # fmt: skip
    return folder


def generated(of: object, **named: object) -> list[list[int]]:
    return of.generate(TOKENS, max_new_tokens=10, do_sample=False, eos_token_id=None, **named).tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("architecture", "tied"), [("qwen2", True), ("llama", False)])
def test_an_exported_model_is_the_path_by_hand_and_runs_without_this_project(
    tmp_path: Path, architecture: str, tied: bool
) -> None:
    folders = [model(tmp_path / name, k, architecture=architecture, tied=tied) for k, name in enumerate("ab")]
    content = {"path": PATH, "scales": SCALES}
    loaded = [AutoModelForCausalLM.from_pretrained(folder).eval() for folder in folders]
    composed = compose(loaded, content)
    with torch.no_grad():
        expected = by_hand(loaded)
        torch.testing.assert_close(composed(TOKENS).logits, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(loaded[0](TOKENS).logits, compose(loaded, plain(0)).forward(TOKENS).logits)
    responses = generated(composed)
    assert responses == generated(composed, use_cache=False)

    out = tmp_path / "out"
    merge(plan_data_flow(open_decoders(folders), content), out)
    with safe_open(out / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert {name.split(".")[3] for name in names if ".layers." in name} == {"0", "1", "2", "3"}  # four different layers
    assert ("inner.lm_head.weight" in names) == (not tied)

    script = (
        "import json, sys, torch\nfrom transformers import AutoModelForCausalLM\n"
        "from importlib.util import find_spec\nassert find_spec('rl_reason') is None\n"
        f"model = AutoModelForCausalLM.from_pretrained({str(out)!r}, trust_remote_code=True)\n"
        f"tokens = torch.tensor({TOKENS.tolist()})\n"
        "print(json.dumps(model.generate(tokens, max_new_tokens=10, do_sample=False, eos_token_id=None).tolist()))\n"
    )
    site = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {**os.environ, "PYTHONPATH": site, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    # -S: no .pth files, by which an editable install of this project would be found.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == responses


def plain(which: int) -> dict[str, list[object]]:
    return {"path": [[which, 0], [which, 1], [which, 2]], "scales": [1.0, 1.0, 1.0]}


def by_hand(loaded: list[torch.nn.Module]) -> torch.Tensor:
    """Layer after layer on the whole sequence, no cache, the causal mask written out."""
    first = loaded[0]
    hidden = first.model.embed_tokens(TOKENS)  # type: ignore[operator, union-attr]
    length = TOKENS.shape[1]
    places = torch.arange(length)[None]
    rotary = first.model.rotary_emb(hidden, places)  # type: ignore[operator, union-attr]
    mask = torch.full((length, length), float("-inf")).triu(1)[None, None]
    for (which, layer), scale in zip(PATH, SCALES, strict=True):
        block = loaded[which].model.layers[layer]  # type: ignore[index, union-attr]
        hidden = block(hidden * scale, attention_mask=mask, position_embeddings=rotary, position_ids=places)
    return first.lm_head(first.model.norm(hidden))  # type: ignore[operator, union-attr]


def test_layers_that_cannot_run_in_the_first_model_are_refused_by_name(tmp_path: Path) -> None:
    a = model(tmp_path / "a", 0)
    with pytest.raises(MergeError, match="hidden_size is 32, there it is 64"):
        open_decoders([a, model(tmp_path / "b", 1, hidden=32)])
    with pytest.raises(MergeError, match="model_type is llama, there it is qwen2"):
        open_decoders([a, model(tmp_path / "c", 1, architecture="llama")])
