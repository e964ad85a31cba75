"""vLLM's engine with a step loop of our own: continuous batching, log-probs, seeds, weights between roll-outs.

On CPU the engine core runs in this process. The loop talks to the core itself: vLLM's front end would make a Python
object for every log-prob. Throughput on small models is bound by the overhead of each step, so several engines with
one thread each, in processes of their own, beat one engine with several threads.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from vllm.config import WeightTransferConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.exceptions import VLLMValidationError
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RepetitionDetectionParams, SamplingParams
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.llm_engine import LLMEngine

from rl_reason.errors import RolloutError
from rl_reason.rollout.repetition import MAX_PATTERN_TOKENS, MIN_REPEATS
from rl_reason.rollout.vllm_sampler import SEED_KEY
from rl_reason.rollout.vllm_shortcuts import NORM_PRIORITY, shorten_allocation
from rl_reason.rollout.vllm_weights import BACKENDS, WORKER_EXTENSION, WeightReceiver
from rl_reason.types import Completion, PolicyVersion, Request, Sampling, Segment, StopReason, WeightUpdate

_YIELD_EVERY_STEPS = 8
_CPU_BATCH_TOKENS = 4096
_CPU_BLOCK_TOKENS = 32
_REPETITION = RepetitionDetectionParams(max_pattern_size=MAX_PATTERN_TOKENS, min_count=MIN_REPEATS)
_STOP_REASONS = {
    FinishReason.STOP: StopReason.STOP,
    FinishReason.LENGTH: StopReason.LENGTH,
    FinishReason.REPETITION: StopReason.REPEATED,
    FinishReason.ABORT: StopReason.ABORTED,
}


@dataclass(slots=True)
class _Open:
    """A response under way."""

    request_id: str
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class VllmEngine:
    """Implements `protocols.Engine` with vLLM 0.32, on CPU and GPU.

    Deterministic: the same requests in the same order, under the same weights, give the same tokens and log-probs,
    whatever the engine did before (the prefix cache starts empty at every call).

    Args:
        model_path: Hugging Face folder.
        dtype: `float32`, `bfloat16` or `float16`.
        max_concurrent: responses under way at once; more wait.
        max_context_tokens: longest prompt and response together.
        kv_cache_gib: memory for keys and values; None: 1 GiB on CPU, and by `gpu_memory_fraction` on a GPU.
        prefix_caching: share the keys and values of a group's prompt (whole blocks only).
        seed: of the engine; responses have their requests'.
        gpu_memory_fraction: of the GPU's memory for weights, activations and cache; GPU only.
        tensor_parallel: GPUs that the model is spread over.
        threads: CPU only: of the kernels; None leaves torch's number. One process can set it only once.
        transport: how weights will come: `shared_memory`, `disk`, `nccl` or `cuda_ipc`.
        transfer_rank_offset: see `WeightReceiver`.
        version: of the policy in `model_path`.
    """

    def __init__(
        self,
        *,
        model_path: Path,
        dtype: str = "float32",
        max_concurrent: int = 128,
        max_context_tokens: int,
        kv_cache_gib: float | None = None,
        prefix_caching: bool = True,
        seed: int = 0,
        gpu_memory_fraction: float = 0.9,
        tensor_parallel: int = 1,
        threads: int | None = None,
        transport: str = "shared_memory",
        transfer_rank_offset: int = 1,
        version: PolicyVersion = 0,
    ) -> None:
        """Load the model.

        Raises:
            RolloutError: an unknown transport.
        """
        if transport not in BACKENDS:
            raise RolloutError(f"unknown weight transport {transport!r}; there are {', '.join(BACKENDS)}")
        on_cpu = current_platform.is_cpu()
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        self._engine = _build(
            EngineArgs(
                model=str(model_path),
                skip_tokenizer_init=True,
                dtype=dtype,  # pyright: ignore[reportArgumentType]
                max_num_seqs=max_concurrent,
                max_model_len=max_context_tokens,
                enable_prefix_caching=prefix_caching,
                seed=seed,
                gpu_memory_utilization=gpu_memory_fraction,
                tensor_parallel_size=tensor_parallel,
                generation_config="vllm",
                logprobs_mode="processed_logprobs",
                disable_log_stats=True,
                weight_transfer_config=WeightTransferConfig(backend=BACKENDS[transport]),
                worker_extension_cls=WORKER_EXTENSION,
                **_by_platform(on_cpu, kv_cache_gib, max_context_tokens),
            ),
            threads=threads,
        )
        # At each reload it warns of layers that have no weights of their own: rotary embeddings, tied heads.
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
        self._core = self._engine.engine_core
        self._tasks = self._engine.get_supported_tasks()
        self._own_seeds = on_cpu
        if on_cpu:
            self._call_workers("install_rl_reason_sampler", {})
            shorten_allocation(self._core.engine_core.scheduler)  # pyright: ignore[reportAttributeAccessIssue]
        self._receiver = WeightReceiver(self._call_workers, transport=transport, rank_offset=transfer_rank_offset)
        self._version = version
        self._open: dict[str, _Open] = {}
        # What is alive now stays alive: keep the collector from going through it again and again while stepping.
        gc.collect()
        gc.freeze()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `Engine.generate`. Responses end at `sampling.stop_token_ids` alone, not at the model's own end token.

        At temperature 0 the log-probs are those of temperature 1. A prompt whose context leaves less room than
        `max_new_tokens` ends with `StopReason.LENGTH` at the context's end.

        Raises:
            RolloutError: a request that vLLM refuses (named), a failure of vLLM, or a generation already under way.
        """
        self._begin(requests, [self._params(sampling, request.seed) for request in requests])
        finished: list[Completion] = []
        steps = 0
        try:
            while self._open:
                for output in self._step():
                    if (completion := self._take(output)) is not None:
                        finished.append(completion)
                steps += 1
                if finished and steps % _YIELD_EVERY_STEPS == 0:
                    yield finished
                    finished = []
            if finished:
                yield finished
        finally:
            self._abandon()

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """See `Engine.score`: one prefill of all sequences.

        Raises:
            RolloutError: a sequence that is too short or too long, or a generation under way.
        """
        params = SamplingParams(
            temperature=0.0, max_tokens=1, logprobs=0, prompt_logprobs=0, detokenize=False, ignore_eos=True
        )
        for index, sequence in enumerate(sequences):
            if len(sequence) < 2:
                raise RolloutError(f"sequence {index} to be scored has {len(sequence)} tokens; nothing is predicted")
        requests = [Request(f"score {index}", tuple(tokens), 0) for index, tokens in enumerate(sequences)]
        self._begin(requests, [params] * len(requests))
        scored: dict[str, NDArray[np.float32]] = {}
        try:
            while self._open:
                for output in self._step():
                    prompt = output.new_prompt_logprobs_tensors
                    if prompt is not None:
                        scored[self._open[output.request_id].request_id] = prompt.logprobs[:, 0].float().numpy().copy()
                    self._take(output)
        finally:
            self._abandon()
        return [scored[request.id] for request in requests]

    def load_weights(self, update: WeightUpdate) -> None:
        """See `Engine.load_weights`; nothing may be under way.

        Raises:
            RolloutError: a generation is under way, or the update comes by another transport.
            SyncError: the weights cannot be read.
        """
        self._refuse_if_busy("load weights")
        self._receiver.load(update)
        self._engine.reset_prefix_cache()
        self._version = update.version

    def close(self) -> None:
        """Give back memory and processes."""
        self._core.shutdown()

    def _call_workers(self, method: str, arguments: dict[str, Any]) -> object:
        return self._core.collective_rpc(method, kwargs=arguments)

    def _params(self, sampling: Sampling, seed: int) -> SamplingParams:
        seeded: dict[str, Any] = {"extra_args": {SEED_KEY: seed % 2**64}} if self._own_seeds else {"seed": seed % 2**63}
        return SamplingParams(
            temperature=sampling.temperature,
            max_tokens=sampling.max_new_tokens,
            stop_token_ids=list(sampling.stop_token_ids),
            ignore_eos=True,
            logprobs=0,
            detokenize=False,
            repetition_detection=_REPETITION if sampling.repetition_stop else None,
            skip_clone=True,
            **seeded,
        )

    def _begin(self, requests: Sequence[Request], params: Sequence[SamplingParams]) -> None:
        """Hand all requests to the scheduler, which knows them by their number."""
        self._refuse_if_busy("start requests")
        # A cache left by earlier calls would change the shape of the prefill, and with it the last bits.
        self._engine.reset_prefix_cache()
        for number, (request, wanted) in enumerate(zip(requests, params, strict=True)):
            name = str(number)
            try:
                core_request = self._engine.input_processor.process_inputs(
                    name, tokens_input(list(request.tokens)), wanted, self._tasks, arrival_time=float(number)
                )
            except (VLLMValidationError, ValueError) as error:
                self._abandon()
                raise RolloutError(f"vLLM refuses request {request.id!r}: {error}") from error
            self._open[name] = _Open(request.id)
            self._core.add_request(core_request)

    def _step(self) -> list[EngineCoreOutput]:
        """One forward pass over everything that runs."""
        try:
            return self._core.get_output().outputs
        except EngineDeadError as error:
            raise RolloutError(f"vLLM's engine process died: {error}; its log says why") from error

    def _take(self, output: EngineCoreOutput) -> Completion | None:
        """Add a step's token to its response; the completion if that was the last."""
        response = self._open[output.request_id]
        response.tokens += output.new_token_ids
        if output.new_logprobs is not None:
            response.logprobs += output.new_logprobs.logprobs[:, 0].tolist()
        if output.finish_reason is None:
            return None
        del self._open[output.request_id]
        if output.finish_reason not in _STOP_REASONS:
            raise RolloutError(f"vLLM failed on request {response.request_id!r} ({output.finish_reason}); see its log")
        segment = Segment(
            np.array(response.tokens, np.int32), np.array(response.logprobs, np.float32), version=self._version
        )
        return Completion(response.request_id, segment, _STOP_REASONS[output.finish_reason])

    def _abandon(self) -> None:
        """Forget what is still under way."""
        if self._open:
            self._core.abort_requests(list(self._open))
            self._open.clear()

    def _refuse_if_busy(self, what: str) -> None:
        if self._open:
            raise RolloutError(
                f"cannot {what}: {len(self._open)} responses of an earlier generate() are under way; exhaust or close "
                "its iterator first"
            )


def _by_platform(on_cpu: bool, kv_cache_gib: float | None, max_context_tokens: int) -> dict[str, Any]:
    """Engine arguments that differ between CPU and GPU; on CPU the core is put into this process."""
    if not on_cpu:
        return {} if kv_cache_gib is None else {"kv_cache_memory_bytes": int(kv_cache_gib * 2**30)}
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return {
        # Compiling takes 20 s and gains nothing that could be measured on small models.
        "enforce_eager": True,
        # The smallest that the kernels take: a prompt's whole blocks are shared, and vLLM's 128 is longer than many.
        "block_size": _CPU_BLOCK_TOKENS,
        "ir_op_priority": NORM_PRIORITY,
        "max_num_batched_tokens": max(_CPU_BATCH_TOKENS, max_context_tokens),
        "kv_cache_memory_bytes": int((1.0 if kv_cache_gib is None else kv_cache_gib) * 2**30),
    }


def _build(arguments: EngineArgs, *, threads: int | None) -> LLMEngine:
    """Start vLLM; on CPU with this number of kernel threads, and with torch's thread setting left usable."""
    set_num_threads = torch.set_num_threads
    if threads is not None:
        set_num_threads(threads)
    engine = LLMEngine.from_engine_args(arguments)
    # vLLM's CPU worker puts a function that does nothing here.
    torch.set_num_threads = set_num_threads
    return engine
