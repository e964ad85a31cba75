"""Random Qwen2 models of some 10,000 parameters, for tests of real engines."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 99


def tiny_qwen2(*, tied: bool, seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        eos_token_id=1,
        bos_token_id=0,
        pad_token_id=0,
        initializer_range=0.2,
    )
    return Qwen2ForCausalLM(config).float().eval()


@torch.no_grad()
def perturb(model, *, seed: int, scale: float = 0.05) -> None:
    """Other weights, as after a training step."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * scale)


@torch.no_grad()
def logprobs_of(model, tokens, *, temperature: float = 1.0):
    """[T - 1] log-probs of all tokens but the first, by a plain forward pass."""
    ids = torch.tensor([list(tokens)])
    logits = model(ids).logits[0, :-1].float() / temperature
    return logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0].numpy()


@torch.no_grad()
def log_distributions(model, tokens, *, temperature: float = 1.0):
    """[T, V] log-probs of every possible next token after each of the tokens."""
    return (model(torch.tensor([list(tokens)])).logits[0].float() / temperature).log_softmax(-1).numpy()
