"""One request's way through the engine's queue."""

import asyncio
import time
from collections.abc import Sequence
from typing import Self

from langchain_voxtral.local.api.requests import MAX_NEW_TOKENS, Sampling
from langchain_voxtral.local.engine.llama import Engine, GenerationEnd, Token
from langchain_voxtral.local.engine.scheduler import Scheduler
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.models import LocalModel
from langchain_voxtral.local.prompting.json_grammar import Constraint

__all__ = ["Generation", "engine_fields"]

_SEEDS = 2**32 - 1  # llama.cpp's seeds have 32 bits, and the last of them means "random"


def engine_fields(
    prompt: str, request: Sampling, model: LocalModel, constraint: Constraint
) -> list[dict[str, object]]:
    """Return what llama.cpp is told: one entry for each response that is asked for.

    JSON ends where its grammar ends, whatever stop sequences stand in it: cut, it would be
    no answer to the schema that the same request asks for.
    """
    stops = [] if constraint.is_json else [*model.template.stops, *(request.stop or ())]
    fields: dict[str, object] = {
        "prompt": prompt,
        "max_tokens": request.max_new_tokens or MAX_NEW_TOKENS,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "min_p": request.min_p,
        "top_k": request.top_k,
        "repeat_penalty": request.repetition_penalty,
        "repeat_last_n": model.engine.n_ctx,  # penalties count over all, as in vLLM
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop": stops,
        **constraint.fields,
    }
    if request.seed is None:
        return [fields] * request.num_responses
    # A prompt that is partly cached is read in other batches, which moves the last bits of
    # its logits: whoever gives a seed wants the same text again and pays with a full read.
    return [
        {**fields, "seed": (request.seed + number) % _SEEDS, "cache_prompt": False}
        for number in range(request.num_responses)
    ]


class Generation:
    """A request's tokens, as the engine's thread makes them and the event loop sends them.

    Args:
        engine: The engine.
        worker: The thread that it runs in.
        tasks: What to generate, one after the other.

    Used as an async context manager: leaving it, however, withdraws what still waits and ends
    what runs at its next token.
    """

    def __init__(
        self, engine: Engine, worker: Scheduler, tasks: Sequence[dict[str, object]]
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Queue[Token | GenerationEnd | Exception] = asyncio.Queue()
        self._abandoned = False
        self.runtime_ms = 0
        """Milliseconds that the engine took so far, without the wait in the queue."""

    async def __aenter__(self) -> Self:
        self._worker.submit(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._abandoned = True
        self._worker.withdraw(self)

    async def next(self, patience: float | None = None) -> Token | GenerationEnd | None:
        """Return the next token or, after a task's last one, how the task ended.

        Args:
            patience: Seconds to wait; then None is returned.

        Raises:
            ErrorResponse: The engine refused the request.
        """
        try:
            async with asyncio.timeout(patience):
                made = await self._made.get()
        except TimeoutError:
            return None
        if isinstance(made, Exception):
            raise made
        return made

    def run(self) -> None:
        """Generate, in the engine's thread."""
        started = time.perf_counter()
        try:
            for task in self._tasks:
                finished = self._engine.generate(task, self._keep)
                if finished is None:
                    return
                self.runtime_ms = round((time.perf_counter() - started) * 1000)
                self._put(finished)
        except Exception as failure:  # noqa: BLE001 - raised again where it is awaited
            self._put(failure)

    def abort(self) -> None:
        """End at the next token, and tell whoever waits that the server stops."""
        self._abandoned = True
        self._put(ErrorResponse.with_message(503, "The server is stopping"))

    def _keep(self, token: Token) -> bool:
        self._put(token)
        return not self._abandoned

    def _put(self, made: Token | GenerationEnd | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._made.put_nowait, made)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._abandoned = True
