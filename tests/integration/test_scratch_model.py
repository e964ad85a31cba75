import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rl_reason.data.render import ChatRenderer
from rl_reason.errors import ConfigError
from rl_reason.learner.scratch_model import build_scratch_model, parameter_count
from rl_reason.types import Prompt

SIZES = {
    "hidden_size": 64,
    "layers": 2,
    "heads": 2,
    "kv_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "words": (" the", "State", "\\boxed{"),
}
TEXT = "<think>State the sum:  3+4=7.\n</think>\\boxed{7} é 日本 <b>&\t\\n"


def build(folder, **changes):
    build_scratch_model(folder, **{"architecture": "qwen2", "tied_embeddings": True, "seed": 0, **SIZES, **changes})
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_the_folder_as_it_is(tmp_path, architecture, tied):
    folder = build(tmp_path / "m", architecture=architecture, tied_embeddings=tied)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer.encode(TEXT, add_special_tokens=False)
    assert tokenizer.decode(tokens) == TEXT and tokenizer.decode(tokens, skip_special_tokens=True) == TEXT
    names = tokenizer.convert_ids_to_tokens(tokens)
    assert names[:4] == ["<think>", "State", " the", "Ġ"] and "\\boxed{" in names and "</think>" in names
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}[architecture]
    shared = model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    assert shared is tied
    assert sum(p.numel() for p in model.parameters()) == parameter_count(folder)
    assert model.config.vocab_size == len(tokenizer) and model.dtype == torch.float32
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    # A fresh model knows nothing: its loss is near the logarithm of the vocabulary, not far above.
    loss = model(input_ids=torch.tensor([tokens]), labels=torch.tensor([tokens])).loss.item()
    assert abs(loss - torch.tensor(float(len(tokenizer))).log().item()) < 1.5


def test_the_same_arguments_give_the_same_bytes_and_another_seed_other_weights(tmp_path):
    first, second = build(tmp_path / "a"), build(tmp_path / "b")
    assert digests(first) == digests(second)
    other = digests(build(tmp_path / "c", seed=1))
    assert {name for name, digest in digests(first).items() if other[name] != digest} == {"model.safetensors"}


def test_building_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(tmp_path / "m")
    assert torch.equal(torch.rand(3), expected)


def test_the_chat_template_survives_and_agrees_with_the_renderer(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(build(tmp_path / "m"))
    renderer = ChatRenderer(tokenizer, system="Be brief")
    prompt = renderer.render(Prompt("a", "State the sum: 1 + 2 =", "3"))
    sequence = renderer.training_sequence(prompt, "<think>1+2=3.</think>\\boxed{3}")
    whole = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "State the sum: 1 + 2 ="},
            {"role": "assistant", "content": "<think>1+2=3.</think>\\boxed{3}"},
        ],
        tokenize=True,
        return_dict=False,
    )
    assert sequence.tokens.tolist() == whole


def test_sizes_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="choose one of qwen2, llama"):
        build(tmp_path, architecture="gpt2")
    with pytest.raises(ConfigError, match="must divide by heads"):
        build(tmp_path, heads=5)
    with pytest.raises(ConfigError, match="must be even"):
        build(tmp_path, hidden_size=12, heads=4, kv_heads=4)


VLLM_SCRIPT = """
import json, sys
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", max_model_len=128, enforce_eager=True, seed=0)
tokens = llm.get_tokenizer().encode(sys.argv[2], add_special_tokens=False)
(output,) = llm.generate([{"prompt_token_ids": tokens}], SamplingParams(temperature=0, max_tokens=8, logprobs=0))
picked = output.outputs[0]
logprobs = [entry[token].logprob for token, entry in zip(picked.token_ids, picked.logprobs)]
print("RESULT " + json.dumps([tokens, list(picked.token_ids), logprobs]))
"""


def test_vllm_loads_the_folder_and_agrees_with_transformers(tmp_path):
    folder = build(tmp_path / "m")
    environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", VLLM_SCRIPT, str(folder), TEXT],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    prompt, response, logprobs = json.loads(line.removeprefix("RESULT "))
    assert prompt == AutoTokenizer.from_pretrained(folder).encode(TEXT, add_special_tokens=False)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([prompt + response])).logits[0].log_softmax(-1)
    for offset, (token, logprob) in enumerate(zip(response, logprobs, strict=True)):
        position = expected[len(prompt) + offset - 1]
        assert position.argmax().item() == token
        assert abs(position[token].item() - logprob) < 1e-4
