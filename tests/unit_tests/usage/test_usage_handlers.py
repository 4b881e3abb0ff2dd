"""The usage handler beside others, and handlers of the user's own that are made of it."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_core.tracers import LangChainTracer
from support.call_modes import CALL_MODES, ask
from support.priced_answers import used
from support.trace_recorder import TraceRecorder

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralUsageCallbackHandler,
    get_voxtral_usage_callback,
)

Make = Callable[..., ChatVoxtral | VoxtralLLM]


class Starts(BaseCallbackHandler):
    """Records the starts of runs of LLMs."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
        self.prompts += prompts


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("is_traced", [True, False])
async def test_starts_of_llms_are_told_to_all_handlers_whether_inline_or_not(
    llm: VoxtralLLM, call_mode: str, *, is_traced: bool
) -> None:
    recorder, starts = TraceRecorder(), Starts()
    other = LangChainTracer(client=recorder) if is_traced else starts
    with get_voxtral_usage_callback() as usage:
        await ask(llm, call_mode, "Hello!", config={"callbacks": [other]})
    assert usage.total == used(call_mode)
    if is_traced:
        assert [run["error"] for run in recorder.model_runs] == [None]
    else:
        assert starts.prompts == ["Hello!"]


class Report(VoxtralUsageCallbackHandler):
    """Also keeps the ends of calls, as a user's own handler may."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        super().on_llm_end(response, **kwargs)
        self.lines.append(str(self))


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_handler_of_the_user_s_own_is_told_once_wherever_it_was_passed(
    make: Make, call_mode: str
) -> None:
    usage = Report()
    await ask(make(callbacks=[usage]), call_mode, "Hello!", config={"callbacks": [usage]})
    assert usage.total == used(call_mode)
    assert usage.lines == [str(used(call_mode))]
