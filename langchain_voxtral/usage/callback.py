"""`get_voxtral_usage_callback`: tokens, audio and dollars of all calls, and a limit on them."""

import logging
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from math import isfinite
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.usage.ledger import Call, Reservation, UsageLedger
from langchain_voxtral.usage.sums import VoxtralUsage, usage_of_failure, usage_of_result

logger = logging.getLogger("langchain_voxtral")


class _LedgerHandler(BaseCallbackHandler):
    """Writes the calls of this package into ledgers."""

    def __init__(self, ledgers: Sequence[UsageLedger]) -> None:
        super().__init__()
        self.voxtral_ledgers = ledgers

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Note the call of a chat model."""
        self._start(**kwargs | {"batch_size": 1})  # its errors are told to their own runs

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Note the call of an LLM or a transcription."""
        self._start(**kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Add what a call used that brought an answer."""
        for ledger in self.voxtral_ledgers:
            ledger.finish(run_id, lambda _: usage_of_result(response), is_answered=True)

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        response: LLMResult | None = None,
        **kwargs: Any,
    ) -> None:
        """Add what a call used that brought none."""

        def read_usage(call: Call) -> VoxtralUsage:
            return usage_of_failure(error, response, call.prompts)

        for ledger in self.voxtral_ledgers:
            ledger.finish(run_id, read_usage, is_answered=False)

    def _start(
        self,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        batch_size: int = 1,
        reservation: Reservation | None = None,
        **_: Any,
    ) -> None:
        facts = metadata or {}
        if "langchain-voxtral" not in (facts.get("lc_versions") or ()):
            return  # another provider's model
        model = facts.get("ls_model_name") or ""
        is_transcription = "audio_seconds" in facts
        call = Call(model, facts.get("estimated_cost_usd"), batch_size, is_transcription)
        for ledger in self.voxtral_ledgers:
            ledger.start(run_id, call, reservation)


class VoxtralUsageCallbackHandler(_LedgerHandler):
    """Sums what calls of `ChatVoxtral`, `VoxtralLLM` and transcriptions use, and limits it.

    Pass it as a callback to count the calls of one chain, or use `get_voxtral_usage_callback`.
    It may be passed to any number of calls at once, from any threads. Calls of other models in
    the same chain are not counted. Copies of it, such as those in copies of a model, count into
    the same sums; one that was pickled goes on from them for itself.

    What it counted is in `total` and, for each model as it was asked for, in `by_model`. Both have
    `requests`, `failed_requests`, `retries`, `resumes`, `cached_responses`, `input_tokens`,
    `output_tokens`, `audio_seconds`, `cost_usd`, `estimated_cost_usd` (the part of `cost_usd` that
    is an estimate, where a server tells no cost of a transcription), `requests_without_usage` and
    `requests_without_cost`. The numbers are the server's, only tokens of streams that broke off are
    counted as they came; what a server does not tell is not guessed but counted in the last two.
    `print(usage)` writes the total on one line.

    A call counts when its run ends. A stream that the caller closes early, and a call that times
    out or is cancelled, are requests whose usage and cost are not known; a call that fails
    before its answer begins costs nothing. An answer from LangChain's cache counts as cached, not
    as a request. Answers of `VoxtralLLM` from the cache, of which LangChain tells nobody, are not
    counted; nor are transcripts from the store.

    Args:
        max_cost_usd: US dollars that the calls may cost together. A call is refused with
            `VoxtralBudgetExceededError`, before it is sent, if the budget cannot hold what is
            spent, what calls in flight are expected to cost, and what this one is. A
            transcription is expected to cost its estimate, any other call as much as the dearest
            of its model so far; before the first has ended, something must be left. So a call
            that is dearer than all before may pass the limit, and so may the first ones, if
            many start together. Prompts that are passed together (to `generate`, or to `batch` of
            `VoxtralLLM`) are refused together. Where a call ended early, as much as was expected is
            taken for spent. If the cost of a call is not known and there is nothing to compare it
            with, the next one is refused, because the limit could not be kept. Answers from the
            cache are refused with the others.

    Raises:
        VoxtralInvalidRequestError: `max_cost_usd` is not a number of 0 or more.

    Example:
        ```python
        from langchain_voxtral import ChatVoxtral, VoxtralUsageCallbackHandler

        usage = VoxtralUsageCallbackHandler(max_cost_usd=0.50)
        chat = ChatVoxtral(base_url="local", max_tokens=20)
        chat.invoke("Hello!", config={"callbacks": [usage]})
        print(usage)  # 1 request, 31 input and 17 output tokens, $0.00
        print(usage.by_model[chat.model].output_tokens)
        ```
    """

    def __init__(self, *, max_cost_usd: float | None = None) -> None:
        self._ledger = UsageLedger(_checked_limit(max_cost_usd))
        super().__init__([self._ledger])

    @property
    def total(self) -> VoxtralUsage:
        """What all calls used that have ended."""
        return sum(self.by_model.values(), VoxtralUsage())

    @property
    def by_model(self) -> dict[str, VoxtralUsage]:
        """The same for each model, by the name that was asked for."""
        return self._ledger.sums

    def __str__(self) -> str:
        return str(self.total)

    def __repr__(self) -> str:
        limit = self._ledger.max_cost_usd
        return (
            f"{type(self).__name__}(total={self.total!r}, by_model={self.by_model!r}, "
            f"max_cost_usd={limit!r})"
        )


_block: ContextVar[_LedgerHandler | None] = ContextVar("voxtral_usage_block", default=None)
register_configure_hook(_block, inheritable=True)  # once: LangChain keeps hooks for ever


@contextmanager
def get_voxtral_usage_callback(
    *, max_cost_usd: float | None = None
) -> Iterator[VoxtralUsageCallbackHandler]:
    """Count all calls of this package within a block: tokens, audio, dollars; and limit them.

    Calls in tasks, in `batch`, in agents and in LangChain's own threads are counted too. A
    `threading.Thread` or an executor of your own does not inherit the block: run its function in
    `contextvars.copy_context()`, or pass the handler as a callback. Blocks may be nested: each
    counts, and each limit holds.

    Args:
        max_cost_usd: US dollars that the calls of the block may cost together; a call that may
            pass it is refused before it is sent. `VoxtralUsageCallbackHandler` says how.

    Yields:
        The handler that counts, with `total` and `by_model`.

    Raises:
        VoxtralInvalidRequestError: `max_cost_usd` is not a number of 0 or more.
        VoxtralBudgetExceededError: By a call in the block that is refused.

    Example:
        ```python
        from langchain_voxtral import ChatVoxtral, get_voxtral_usage_callback

        chat = ChatVoxtral(base_url="local", max_tokens=20)
        with get_voxtral_usage_callback(max_cost_usd=0.50) as usage:
            chat.batch(["Hello!", "What is 2 + 2?"])
        print(usage)  # as: 2 requests, 68 input and 37 output tokens, $0.00
        print(usage.total.cost_usd)
        ```
    """
    usage = VoxtralUsageCallbackHandler(max_cost_usd=max_cost_usd)
    outer = _block.get()
    # One handler for all blocks around a call: the variable holds one, and each block counts.
    token = _block.set(
        _LedgerHandler([*(outer.voxtral_ledgers if outer else ()), *usage.voxtral_ledgers])
    )
    is_left = False
    try:
        yield usage
    except (GeneratorExit, CancelledError):
        is_left = True
        raise
    finally:
        _leave(token, is_left=is_left)


def _leave(token: Token[_LedgerHandler | None], *, is_left: bool) -> None:
    """Take a block's handler away; an asynchronous generator may end in another task."""
    try:
        _block.reset(token)
    except ValueError:  # this task never had it
        if not is_left:
            logger.warning(
                "get_voxtral_usage_callback() ends in another task than it began in, and counted "
                "no calls of this one: pass a VoxtralUsageCallbackHandler as a callback instead."
            )


def _checked_limit(max_cost_usd: float | None) -> float | None:
    is_number = isinstance(max_cost_usd, int | float) and not isinstance(max_cost_usd, bool)
    if max_cost_usd is None or (is_number and isfinite(max_cost_usd) and max_cost_usd >= 0):
        return max_cost_usd
    raise VoxtralInvalidRequestError(
        f"max_cost_usd must be a number of US dollars, 0 or more, or None for no limit, not "
        f"{max_cost_usd!r}."
    )
