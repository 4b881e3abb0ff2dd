"""The embedded server's chat completions: the text of a call becomes a call."""

import json
from typing import Any

import pytest

from langchain_voxtral.local.api.chat_responses import ChatFormat
from langchain_voxtral.local.api.responses import GeneratedText
from langchain_voxtral.local.engine.llama import GenerationEnd, Token

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
FUNCTION = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
WRITTEN = {
    "bare": (CALL, None),
    "in a code fence": (f"```json\n{CALL}\n```", None),
    "in a code fence beside text": (f"So:\r\n~~~\r\n{CALL}\r\n~~~\r\nDone.", "So:\r\nDone."),
}
each = pytest.mark.parametrize(("text", "content"), WRITTEN.values(), ids=WRITTEN)


def generated(text: str) -> GeneratedText:
    end = GenerationEnd("stop", 1, len(text), ended_by_model=True, runtime_ms=1)
    return GeneratedText([Token(character, 1, 0.0) for character in text], end)


@each
def test_a_call_leaves_no_code_fence(text: str, content: str | None) -> None:
    answer = ChatFormat("m", "1", tool_names=["get_weather"]).document([generated(text)])
    [choice] = answer["choices"]
    [call] = choice["message"]["tool_calls"]
    assert (call["function"], choice["message"]["content"]) == (FUNCTION, content)
    assert choice["finish_reason"] == "tool_calls"


@each
def test_a_streamed_call_leaves_no_code_fence(text: str, content: str | None) -> None:
    shape, whole = ChatFormat("m", "1", tool_names=["get_weather"]), generated(text)
    events = [event for token in whole.tokens for event in shape.token_events(token)]
    chunks = [json.loads(event[6:]) for event in [*events, *shape.last_events(whole)][:-1]]
    deltas: list[dict[str, Any]] = [chunk["choices"][0]["delta"] for chunk in chunks]
    functions = [one["function"] for delta in deltas for one in delta.get("tool_calls", ())]
    assert "".join(delta.get("content", "") for delta in deltas) == (content or "")
    assert [function["name"] for function in functions if "name" in function] == ["get_weather"]
    assert "".join(one["arguments"] for one in functions) == FUNCTION["arguments"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
