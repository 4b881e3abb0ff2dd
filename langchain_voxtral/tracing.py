"""What the trace of a run says beyond what LangChain writes: cost, request id, endpoint, ...

LangChain's tracers copy usage from messages, where a cost would break LangChain's sums: they add
up integers alone. So a callback handler in front of the tracers writes the cost into the run
itself, whatever the way of the call. Where a version of LangChain keeps its runs otherwise, the
trace lacks these facts, and the call goes on.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    AsyncCallbackManager,
    BaseCallbackHandler,
)
from langchain_core.outputs import LLMResult
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.usage.entry import Manager
from langchain_voxtral.usage.sums import first_generation, is_cached

ANSWER_FACTS = ("model_name", "request_id", "endpoint", "finish_reason")
"""Keys of an answer's metadata that its run gets, too."""

ERROR_FACTS = ("request_id", "attempts", "status_code")
"""Attributes of an error that its run gets."""

REQUEST_FACTS = (
    "cost",
    "cost_source",
    "cost_complete",
    "attempts",
    "resumes",
    "runtime_ms",
    "audio_seconds",
    "usage_incomplete",
)
"""Further ones, unless the answer comes from a cache."""

COST_ATTRIBUTE = "llm.cost.total"
"""OpenInference's name for the cost of a span; OpenTelemetry's conventions have none."""


@runtime_checkable
class SpanSource(Protocol):
    """A tracer that writes OpenTelemetry's spans, as OpenInference's does."""

    def get_span(self, run_id: UUID, /) -> Any:
        """Return the span of a run that has not ended, or None."""


class RunFacts(BaseCallbackHandler):
    """Writes what is known of an answer into the run of a tracer, before that sends it.

    Args:
        tracer: The tracer, which has its runs in a `run_map`.
        prompt_format: The format of native prompts.
        run_inline: Whether asynchronous managers call it before all that are not so.
    """

    def __init__(
        self,
        tracer: BaseTracer | AsyncBaseTracer,
        prompt_format: str | None,
        *,
        run_inline: bool,
    ) -> None:
        self._tracer = tracer
        self._prompt_format = prompt_format
        self.run_inline = run_inline

    @property
    def ignore_chat_model(self) -> bool:
        """Whether to ignore the start of a chat model's run."""
        return True

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Write what the answer's metadata say."""
        facts, usage = read_answer(response)
        if response.llm_output:
            # LangChain gives the first run of an LLM's batch the usage of all.
            own = {"token_usage": dict(usage)} | {"cost": facts.get("cost")}
            told = {name: own[name] for name in own.keys() & response.llm_output.keys()}
            response.llm_output = response.llm_output | told
        self._write(run_id, {"attempts": 1} | facts, usage)

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, response: LLMResult | None = None, **_: Any
    ) -> None:
        """Write what the error says, and what came of the answer."""
        facts, usage = read_answer(response)
        if isinstance(error, VoxtralError):
            told = {name: getattr(error, name) for name in ERROR_FACTS}
            facts = {name: value for name, value in told.items() if value is not None} | facts
            if error.usage:  # the tokens of a stream that broke, as far as they came
                facts["usage_incomplete"] = True
                usage = usage or error.usage
        self._write(run_id, facts, usage)

    def _write(self, run_id: UUID, facts: dict[str, Any], usage: Mapping[str, Any]) -> None:
        is_native = facts.get("endpoint") == "native"
        if is_native and self._prompt_format:
            facts["prompt_format"] = self._prompt_format
        extra = getattr(self._tracer.run_map.get(str(run_id)), "extra", None)
        if not isinstance(extra, dict):
            return
        # A new dict: LangChain gives one to all runs of a call.
        metadata = _RunMetadata((extra.get("metadata") or {}) | facts)
        if "endpoint" in facts and not is_native:
            metadata.pop("prompt_format", None)  # LangChain writes all settings of the model
        if usage or "cost" in facts:
            metadata["usage_metadata"] = dict(usage)
        extra["metadata"] = metadata
        span = self._tracer.get_span(run_id) if isinstance(self._tracer, SpanSource) else None
        if span is not None and "cost" in facts:
            span.set_attribute(COST_ATTRIBUTE, facts["cost"])


class _AsyncRunFacts(RunFacts, AsyncCallbackHandler):
    """The same for asynchronous managers, which would call its methods in threads."""

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # type: ignore[override]
        super().on_llm_end(response, **kwargs)

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:  # type: ignore[override]
        super().on_llm_error(error, **kwargs)


class _RunMetadata(dict[str, Any]):
    """The metadata of a run; usage that is set gets the cost, in the key that LangSmith reads."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "usage_metadata" and "cost" in self:
            value = {"total_cost": self["cost"], **value}
        super().__setitem__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def record_run_facts(
    manager: Manager,
    others: Iterable[BaseCallbackHandler] = (),
    prompt_format: str | None = None,
) -> bool:
    """Put a `RunFacts` for each tracer in front of a manager's handlers, if they have none.

    One for each: what fails with one tracer, LangChain logs, and the others get their facts.

    Args:
        manager: The callbacks of the call.
        others: Handlers that LangChain will add to the manager's.
        prompt_format: The format of native prompts.

    Returns:
        Whether any was put there.
    """
    handlers = [*manager.handlers, *others]
    tracers = [each for each in handlers if isinstance(each, BaseTracer | AsyncBaseTracer)]
    if not tracers or any(isinstance(each, RunFacts) for each in handlers):
        return False
    is_async = isinstance(manager, AsyncCallbackManager)
    # LangChain tells of an LLM's start the inline handlers alone, once there is one.
    is_inline = any(each.run_inline for each in handlers)
    handler_class = _AsyncRunFacts if is_async else RunFacts
    facts = [handler_class(each, prompt_format, run_inline=is_inline) for each in tracers]
    manager.handlers = [*facts, *manager.handlers]
    return True


def read_answer(response: LLMResult | None) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return an answer's facts and its usage; of several answers the first has those of all."""
    message = getattr(first_generation(response), "message", None)
    told = getattr(message, "response_metadata", {})
    usage = getattr(message, "usage_metadata", None) or {}
    if is_cached(usage):  # what it cost is the past's
        return _pick(told, ANSWER_FACTS) | {"cost": 0, "attempts": 0}, usage
    return _pick(told, (*ANSWER_FACTS, *REQUEST_FACTS)), usage


def _pick(told: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}
