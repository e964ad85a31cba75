"""The learner: gradient steps on packed batches with DeepSpeed, ZeRO 0 to 3, one or several ranks.

Every method is collective: all ranks call it with the same arguments; rank 0's return value is the one to use.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_reason.errors import LearnerError
from rl_reason.learner.deepspeed_engine import (
    build_engine,
    clipped_step,
    described_parameters,
    flush,
    full_parameters,
    join_process_group,
    load_engine,
    save_engine,
)
from rl_reason.learner.objectives import Objective, Totals
from rl_reason.learner.packed_model import Load, PackedModel
from rl_reason.learner.packing import (
    MicroBatch,
    empty_sequence,
    minibatches,
    pack,
    plan,
    positions_of,
    prompt_groups,
    unit_positions,
    units,
)
from rl_reason.learner.policy_model import bare_sequence, load_policy
from rl_reason.learner.schedule import learning_rate_at
from rl_reason.learner.settings import Execution, Optimization, Ranks
from rl_reason.policy.kl import k3
from rl_reason.policy.learner_weights import LearnerWeights, WeightPublisher
from rl_reason.types import PolicyVersion, TrainingSequence, WeightUpdate

_PROBE_SHARE = 16
"""The KL after an update is measured on one sixteenth of its tokens: a forward pass of 2% of the update's cost."""
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
)


class DeepSpeedLearner:
    """Trains a Hugging Face model, a policy or a reward model; implements `protocols.Learner`."""

    def __init__(
        self,
        *,
        model_path: Path,
        objective: Objective,
        publisher: WeightPublisher,
        ranks: Ranks,
        optimization: Optimization,
        execution: Execution = Execution(),  # noqa: B008 (frozen)
        load: Load = load_policy,
    ) -> None:
        """Join the process group, load the model, build the optimizer.

        Args:
            model_path: Hugging Face folder to start from; also where `export` takes the tokenizer from.
            objective: what is minimised.
            publisher: how weights leave for the engines.
            ranks, optimization, execution: see `settings`.
            load: makes the model that is trained, with its head: `load_policy`, or `load_reward_model`.

        Raises:
            ConfigError: settings that contradict each other or a DeepSpeed block that sets what the learner decides.
            LearnerError: a model that cannot be loaded or computed.
        """
        join_process_group(ranks)
        torch.manual_seed(optimization.seed)
        self._engine = build_engine(model_path, optimization, execution, load)
        self._device: torch.device = self._engine.device
        self._model_path, self._publisher = model_path, publisher
        self._objective, self._how, self._ranks = objective, optimization, ranks
        self._micro_batch_tokens = execution.micro_batch_tokens
        # The variable-length kernel of GPUs takes plain sequences only.
        self._share_prompts = not torch.cuda.is_available()

    def update(self, batch: Sequence[TrainingSequence], *, step: int) -> dict[str, float]:
        """Take `gradient_steps` * `epochs` optimizer steps (fewer when the batch has fewer prompts).

        The mini-batches are whole groups of one prompt, drawn without replacement by (seed, step, epoch). See
        `tracking`'s table for the metrics.

        Raises:
            LearnerError: an empty batch, a sequence of one token, or a loss or gradient norm that is not finite.
        """
        self._check(batch, step)
        self._publisher.settle()
        began = time.perf_counter()
        how = self._how
        rate = learning_rate_at(
            step,
            peak=how.learning_rate,
            schedule=how.schedule,
            warmup_steps=how.warmup_steps,
            total_steps=how.total_steps,
        )
        if how.reset_optimizer:
            self._engine.basic_optimizer.state.clear()
        self._engine.train()
        tally = _Tally(self._device)
        groups = prompt_groups(batch)
        parts = [
            [index for group in part for index in groups[group]]
            for epoch in range(how.epochs)
            for part in minibatches(len(groups), parts=how.gradient_steps, seed=how.seed, step=step, epoch=epoch)
        ]
        norms = [self._gradient_step([batch[i] for i in part], rate, step, tally) for part in parts]
        metrics = tally.finish(self._ranks.world_size)
        seconds = time.perf_counter() - began
        positions = sum(positions_of(batch[i]) for part in parts for i in part)
        metrics |= {
            "learner/grad_norm": float(np.mean(norms)),
            "learner/grad_norm_max": float(np.max(norms)),
            "learner/learning_rate": rate,
            "learner/steps": float(len(norms)),
            "learner/sequences": float(len(batch)),
            "learner/tokens": float(positions),
            "throughput/train_tokens_per_s": positions / seconds,
            "memory/peak_bytes": _peak_bytes(),
        }
        if self._objective.has_reference:
            metrics["policy/kl"] = self._kl_after(batch, parts[-1])
        return metrics

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Log-prob of every token but the first at temperature 1 (of a reward model: the reward after every token but
        the last): one [T - 1] a sequence. For a few sequences: every rank computes all of them."""
        self._publisher.settle()
        bare = [bare_sequence(tokens) for tokens in sequences]
        lengths = [positions_of(sequence) for sequence in bare]
        if min(lengths, default=1) < 1:
            raise LearnerError("a sequence to be scored has fewer than two tokens: nothing in it is predicted")
        (mine,) = plan(lengths, ranks=1, micro_batch_tokens=self._micro_batch_tokens)
        scored: dict[int, NDArray[np.float32]] = {}
        for indices in mine:
            logprobs, _ = self._evaluate(pack([bare[i] for i in indices], self._device), 1.0)
            pieces = logprobs.cpu().split([lengths[i] for i in indices])
            scored |= {i: piece.numpy() for i, piece in zip(indices, pieces, strict=True)}
        return [scored[i] for i in range(len(bare))]

    def publish(self, version: PolicyVersion) -> WeightUpdate:
        """Hand the weights to the publisher, under their Hugging Face names."""
        model = self._packed.model
        weights = LearnerWeights(
            described=lambda: described_parameters(model),
            gathered=lambda device: full_parameters(model, device),
            rank=self._ranks.rank,
            host=urlsplit(self._ranks.init_method).hostname or "127.0.0.1",
        )
        return self._publisher.publish(weights, version)

    def save(self, folder: Path) -> None:
        """Write master weights, optimizer state and random generators of every rank, flushed to the disk."""
        save_engine(self._engine, folder)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, with the same ranks, ZeRO stage and dtype."""
        load_engine(self._engine, folder)

    def export(self, folder: Path) -> None:
        """Write safetensors, config and tokenizer, as transformers' auto classes and vLLM load them."""
        self._publisher.settle()
        weights = full_parameters(self._packed.model, torch.device("cpu"))
        if self._ranks.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            state = {name: tensor.cpu() for name, tensor in weights}
            self._packed.model.save_pretrained(folder, state_dict=state)
            for name in _TOKENIZER_FILES:
                if (self._model_path / name).is_file():
                    shutil.copyfile(self._model_path / name, folder / name)
            for path in sorted(folder.iterdir()):
                flush(path)
            flush(folder)
        else:
            for _ in weights:
                pass
        torch.distributed.barrier()

    @property
    def _packed(self) -> PackedModel:
        return self._engine.module

    def _check(self, batch: Sequence[TrainingSequence], step: int) -> None:
        if not batch:
            raise LearnerError(
                f"update {step} got no sequences: every response of the iteration was left out (unjudged, or alone in "
                "its group); look at the verifiers' failures in the metrics"
            )
        for index, sequence in enumerate(batch):
            if len(sequence.tokens) < 2 or sequence.loss_mask[0] or not sequence.loss_mask.any():
                raise LearnerError(
                    f"sequence {index} of update {step} has {len(sequence.tokens)} tokens of which "
                    f"{int(sequence.loss_mask.sum())} count in the loss; it needs one that counts, and not the first"
                )

    def _gradient_step(self, sequences: list[TrainingSequence], rate: float, step: int, tally: _Tally) -> float:
        """One optimizer step on one mini-batch; returns the gradient norm."""
        totals = Totals(len(sequences), sum(int(sequence.loss_mask.sum()) for sequence in sequences))
        micro_batches = self._my_micro_batches(sequences)
        losses: list[Tensor] = []
        for index, micro_batch in enumerate(micro_batches):
            self._engine.set_gradient_accumulation_boundary(index == len(micro_batches) - 1)
            values, entropies = self._engine(micro_batch, self._how.temperature)
            loss, sums = self._objective(values, micro_batch, totals)
            # DeepSpeed averages gradients over ranks; the loss is already a share of the global mean.
            self._engine.backward(loss * self._ranks.world_size)
            losses.append(loss.detach())
            tally.add(sums)
            tally.add_tokens(entropies, values.detach(), micro_batch, gaps=self._objective.has_reference)
        self._engine.set_gradient_accumulation_boundary(True)
        tally.end_step(torch.stack(losses).sum())
        return clipped_step(self._engine, learning_rate=rate, gradient_clip=self._how.gradient_clip, step=step)

    def _my_micro_batches(self, sequences: Sequence[TrainingSequence]) -> list[MicroBatch]:
        """This rank's share of a mini-batch; ranks that run out of work get empty micro-batches."""
        capacity = self._micro_batch_tokens
        together = units(sequences, capacity=capacity, share_prompts=self._share_prompts)
        share = self._share_prompts
        lengths = [unit_positions([sequences[i] for i in unit], share_prompts=share) for unit in together]
        mine = plan(lengths, ranks=self._ranks.world_size, micro_batch_tokens=capacity)[self._ranks.rank]
        return [
            pack(
                [sequences[i] for unit in chosen for i in together[unit]] or [empty_sequence()],
                self._device,
                share_prompts=share,
            )
            for chosen in mine
        ]

    def _evaluate(self, micro_batch: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
        self._engine.eval()
        with torch.no_grad():
            return self._engine(micro_batch, temperature)

    def _kl_after(self, batch: Sequence[TrainingSequence], last: Sequence[int]) -> float:
        """Mean over tokens of the k3 estimate of KL(roll-out policy || policy now), on a part of the batch."""
        enough = sum(positions_of(sequence) for sequence in batch) / _PROBE_SHARE
        probe: list[TrainingSequence] = []
        while len(probe) < len(last) and sum(positions_of(sequence) for sequence in probe) < enough:
            probe.append(batch[last[len(probe)]])
        sums = torch.zeros(2, device=self._device)
        for micro_batch in self._my_micro_batches(probe):
            logprobs, _ = self._evaluate(micro_batch, self._how.temperature)
            sums += torch.stack([k3(logprobs - micro_batch.behaviour_logprobs).sum(), sums.new_tensor(len(logprobs))])
        torch.distributed.all_reduce(sums)
        return float(sums[0] / sums[1])


class _Tally:
    """Sums of an update's metrics on the device, read out once at its end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._losses: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._entropy = torch.zeros(2, device=device)
        self._gap = torch.zeros(2, device=device)
        self._largest_gap = torch.zeros((), device=device)
        self._gaps = False

    def add(self, sums: Mapping[str, Tensor]) -> None:
        """An objective's metrics of one micro-batch."""
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=self._device)) + value

    def add_tokens(self, entropies: Tensor, logprobs: Tensor, batch: MicroBatch, *, gaps: bool) -> None:
        """Entropies of the counted tokens, of which a reward model has none; on the first step also how far the
        log-probs are from the roll-out's."""
        self._entropy += torch.stack([entropies.sum(), entropies.new_tensor(len(entropies))])
        if gaps and self._steps == 0 and len(logprobs):
            self._gaps = True
            gap = (logprobs - batch.behaviour_logprobs).abs()
            self._gap += torch.stack([gap.sum(), gap.new_tensor(len(gap))])
            self._largest_gap = torch.maximum(self._largest_gap, gap.max())

    def end_step(self, loss: Tensor) -> None:
        """This rank's share of one step's loss."""
        self._losses.append(loss)
        self._steps += 1

    def finish(self, world_size: int) -> dict[str, float]:
        """Metrics over all ranks; sums of objectives become means over steps."""
        loss = torch.stack(self._losses).mean()
        packed = torch.stack([loss, *(value / self._steps for value in self._sums.values())])
        packed = torch.cat([packed, self._entropy, self._gap])
        if world_size > 1:
            torch.distributed.all_reduce(packed)
            torch.distributed.all_reduce(self._largest_gap, op=torch.distributed.ReduceOp.MAX)
        values = packed.tolist()
        metrics = dict(zip(["learner/loss", *self._sums], values, strict=False))
        if values[-3] > 0:
            metrics["policy/entropy"] = values[-4] / values[-3]
        if self._gaps:
            metrics["policy/rollout_gap_mean"] = values[-2] / values[-1]
            metrics["policy/rollout_gap_max"] = float(self._largest_gap)
        return metrics


def _peak_bytes() -> float:
    """Largest memory of this process so far: of the GPU where there is one, else resident memory."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
