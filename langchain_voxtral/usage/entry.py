"""The entry of calls: budgets keep what they are expected to cost, before LangChain starts runs."""

from collections.abc import Iterable
from typing import Any, Protocol

from langchain_core.callbacks import BaseCallbackHandler

from langchain_voxtral.usage.ledger import Call, Reservation, UsageLedger

_DELEGATED = ("on_llm_new_token", "on_stream_event", "on_llm_end", "on_llm_error")


class Manager(Protocol):
    """LangChain's manager of the callbacks of a call, sync or async."""

    handlers: list[BaseCallbackHandler]


class CallHandler(BaseCallbackHandler):
    """A usage handler within one call, for which its ledgers keep what it is expected to cost.

    It equals the handler, which LangChain therefore does not add beside it.

    Args:
        handler: The usage handler.
        reservation: What its ledgers keep for the call.
        run_inline: Whether asynchronous managers call it directly, and not in a thread.
    """

    def __init__(
        self, handler: BaseCallbackHandler, reservation: Reservation, *, run_inline: bool
    ) -> None:
        self.handler: Any = handler
        self.reservation = reservation
        self.run_inline = run_inline
        self.raise_error = handler.raise_error
        for name in _DELEGATED:
            if hasattr(handler, name):  # older versions of LangChain have fewer
                setattr(self, name, getattr(handler, name))

    def __eq__(self, other: object) -> bool:
        return self.handler is (other.handler if isinstance(other, CallHandler) else other)

    def __hash__(self) -> int:
        return hash(self.handler)

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Note the call of a chat model."""
        self.handler.on_chat_model_start(*args, reservation=self.reservation, **kwargs)

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Note the call of an LLM or a transcription."""
        self.handler.on_llm_start(*args, reservation=self.reservation, **kwargs)


def enter_call(
    manager: Manager,
    model: str,
    expected_usd: float | None = None,
    *,
    runs: int = 1,
    is_transcription: bool = False,
    others: Iterable[BaseCallbackHandler] = (),
) -> bool:
    """Keep what a call is expected to cost in the budgets of usage handlers, or refuse it.

    The usage handlers are replaced by their `CallHandler`.

    Args:
        manager: The callbacks of the call.
        model: The model that is asked.
        expected_usd: US dollars that each run will cost, if that is known.
        runs: How many runs there will be.
        is_transcription: Whether a recording is transcribed.
        others: Handlers that LangChain will add to the manager's.

    Returns:
        Whether there is a usage handler.

    Raises:
        VoxtralBudgetExceededError: A budget cannot hold the call, or could not be kept.
    """
    usage: list[BaseCallbackHandler] = []
    rest: list[BaseCallbackHandler] = []
    for handler in dict.fromkeys((*manager.handlers, *others)):
        is_counting = isinstance(handler, CallHandler) or hasattr(handler, "voxtral_ledgers")
        (usage if is_counting else rest).append(handler)
    if not usage:
        return False
    release(manager)  # LangChain turns a stream that it cannot have into a call that enters again
    plain: list[Any] = [one.handler if isinstance(one, CallHandler) else one for one in usage]
    reservation = Reservation(Call(model, expected_usd, is_transcription=is_transcription), runs)
    ledgers: list[UsageLedger] = [ledger for one in plain for ledger in one.voxtral_ledgers]
    try:
        for ledger in ledgers:
            ledger.reserve(reservation)
    except BaseException:
        for ledger in ledgers:
            ledger.release(reservation)
        raise
    # LangChain starts asynchronous runs of LLMs for inline handlers only, if there are any: usage
    # handlers must not be the only ones, nor be left out.
    is_inline = not rest or any(one.run_inline for one in rest)
    entered = [CallHandler(one, reservation, run_inline=is_inline) for one in plain]
    manager.handlers = [*entered, *(one for one in manager.handlers if one not in entered)]
    return True


def release(manager: Manager) -> None:
    """Keep nothing any longer for a call: LangChain is done with it, or enters it again."""
    for handler in manager.handlers:
        if isinstance(handler, CallHandler):
            for ledger in handler.handler.voxtral_ledgers:
                ledger.release(handler.reservation)
