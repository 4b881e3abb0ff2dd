"""What handlers read of results besides messages, as OpenTelemetry's instrumentation does."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import MODEL

from langchain_voxtral import ChatVoxtral, VoxtralLLM

REQUEST_ID = "RWZDRhS5kdoM1XWwXLEshynO"
TOKENS = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}
TWICE = {"input_tokens": 24, "output_tokens": 50, "total_tokens": 74}


class Ends(BaseCallbackHandler):
    """Keeps the results of runs."""

    def __init__(self) -> None:
        self.results: list[LLMResult] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.results.append(response)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_generation_of_a_chat_tells_why_it_ended(
    make_chat: Callable[..., ChatVoxtral], call_mode: str
) -> None:
    ends = Ends()
    # Unstreamed, the native endpoint tells no reason; that none can have been the limit is known.
    await ask(make_chat(max_tokens=100), call_mode, "Hello!", config={"callbacks": [ends]})
    [[generation]] = ends.results[0].generations
    assert generation.generation_info == {"finish_reason": "stop"}


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_the_result_of_a_chat_has_tokens_model_and_id(
    make_chat: Callable[..., ChatVoxtral], call_mode: str, streaming: bool
) -> None:
    ends, chat = Ends(), make_chat(streaming=streaming)
    config: Any = {"callbacks": [ends]}
    if call_mode == "invoke":
        answer = chat.invoke("Hello!", config)
    else:
        answer = await chat.ainvoke("Hello!", config)
    told = answer.response_metadata
    assert ends.results[0].llm_output == {
        "token_usage": answer.usage_metadata,
        "model_name": MODEL,
        **({"id": told["request_id"]} if "request_id" in told else {}),
    }
    assert told.keys().isdisjoint({"token_usage", "id"})  # nothing stands twice in the message


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_results_of_several_prompts_are_added_up(
    chat: ChatVoxtral, is_async: bool
) -> None:
    prompts: Any = [[HumanMessage("Hello!")], [HumanMessage("Hi!")]]
    result = await chat.agenerate(prompts) if is_async else chat.generate(prompts)
    assert result.llm_output == {"token_usage": TWICE, "model_name": MODEL}


def test_the_result_of_an_llm_has_them_too(llm: VoxtralLLM) -> None:
    output = llm.generate(["Hello!"]).llm_output or {}
    known = {"token_usage": TOKENS, "model_name": MODEL, "id": REQUEST_ID}
    assert {name: output[name] for name in known} == known
    assert "id" not in (llm.generate(["Hello!", "Hi!"]).llm_output or {})
