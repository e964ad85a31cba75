"""TRL's side of `vs_trl.py`: GRPOTrainer on the CPU, set up as well as its own options allow. Runs in `.venv-trl`."""

from __future__ import annotations

import os
import tempfile

from even_start import starts_even
from side import Clock, Settings, print_result, read_settings

MICRO_BATCH = 32
"""Responses in one forward and backward pass: the fastest of 8, 16, 32, 64 and 128 on two cores."""


def run(settings: Settings) -> dict[str, object]:
    """Train for the asked iterations; the clock is read by the reward function and by a callback, both public API."""
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback

    torch.set_num_threads(settings.threads)
    rows = settings.read_prompts()
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    turns = [[{"role": "user", "content": row["text"]}] for row in rows]
    rendered = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    clock = Clock(settings)

    def even_start(completions, completion_ids, **_):
        """The reward. Called once an iteration, when all responses are there."""
        clock.rolled_out([len(tokens) for tokens in completion_ids])
        return [starts_even(turn[0]["content"]) for turn in completions]

    class IterationClock(TrainerCallback):
        """Tells the clock when training starts and when an iteration's last optimizer step is done."""

        def on_train_begin(self, args, state, control, **kwargs):
            clock.start()

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % settings.optimizer_steps == 0:
                clock.finished()

    with tempfile.TemporaryDirectory() as output_dir:
        trainer = trl.GRPOTrainer(
            model=settings.model,
            reward_funcs=even_start,
            args=trl.GRPOConfig(output_dir=output_dir, **grpo_options(settings)),
            train_dataset=Dataset.from_dict({"prompt": turns}),
            processing_class=tokenizer,
            callbacks=[IterationClock()],
        )
        trainer.train()
    return clock.result(
        optimizer_steps=trainer.state.global_step,
        prompt_tokens_mean=sum(map(len, rendered)) / len(rendered),
        versions={"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__},
    )


def grpo_options(settings: Settings) -> dict[str, object]:
    """GRPOConfig's arguments, which `settings.options` overrides (also `micro_batch` and `attn_implementation`)."""
    options = dict(settings.options)
    minibatch = settings.responses // settings.gradient_steps
    micro_batch = min(minibatch, int(options.pop("micro_batch", MICRO_BATCH)))
    if minibatch % micro_batch:
        raise ValueError(f"mini-batches of {minibatch} responses do not divide into micro-batches of {micro_batch}")
    accumulation = minibatch // micro_batch
    return {
        "use_cpu": True,
        "bf16": False,
        "model_init_kwargs": {"dtype": "float32", "attn_implementation": options.pop("attn_implementation", "sdpa")},
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "steps_per_generation": accumulation * settings.gradient_steps,
        "num_iterations": settings.epochs,
        "num_generations": settings.responses_per_prompt,
        "max_completion_length": settings.max_new_tokens,
        "temperature": settings.temperature,
        "generation_kwargs": {"min_new_tokens": settings.max_new_tokens} if settings.fixed_length else {},
        "cache_implementation": "static",
        "max_steps": settings.all_iterations * settings.optimizer_steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": settings.seed,
        **options,
    }


if __name__ == "__main__":
    given = read_settings()
    os.environ.update(OMP_NUM_THREADS=str(given.threads), HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    print_result(run(given))
