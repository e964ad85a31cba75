"""vLLM engines in a process of their own, so that what vLLM does to its process stays out of the tests'."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

_ENGINES = {}


class VllmProcess:
    """One process; engines in it are known by name."""

    def __init__(self):
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def start(self, name, **arguments):
        self._pool.submit(_start, name, arguments).result(timeout=120)

    def generate(self, name, requests, sampling):
        """{request id: completion}"""
        lists = self._pool.submit(_generate, name, requests, sampling).result(timeout=120)
        completions = {completion.request_id: completion for completed in lists for completion in completed}
        assert sorted(completions) == sorted(request.id for request in requests)
        assert all(lists)
        return completions

    def call(self, name, method, *arguments):
        return self._pool.submit(_call, name, method, arguments).result(timeout=120)

    def stop(self):
        self._pool.shutdown()


def _start(name, arguments):
    from rl_reason.rollout.vllm_engine import VllmEngine

    _ENGINES[name] = VllmEngine(**arguments)


def _generate(name, requests, sampling):
    return list(_ENGINES[name].generate(requests, sampling))


def _call(name, method, arguments):
    return getattr(_ENGINES[name], method)(*arguments)
