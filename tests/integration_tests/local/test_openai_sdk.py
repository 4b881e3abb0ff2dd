"""OpenAI's own SDK on the embedded server."""

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from langchain_voxtral.local import LocalVoxtral

MODEL = "mistralai/Voxtral-Mini-3B-2507"
FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]
PARIS: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the weather in Paris?"}
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def sdk(local_server: LocalVoxtral) -> Iterator[OpenAI]:
    base_url = f"{local_server.base_url}/openai"
    with OpenAI(base_url=base_url, api_key=local_server.api_key, max_retries=0) as client:
        yield client


def test_a_question(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream(sdk: OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(model=MODEL, messages=FRANCE, temperature=0, stream=True)
    )
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.usage] == ["stop"]


def test_a_tool_call_and_its_result(sdk: OpenAI) -> None:
    asked = sdk.chat.completions.create(model=MODEL, messages=PARIS, tools=[WEATHER], temperature=0)
    message = asked.choices[0].message
    [call] = message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Paris"}')
    result: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "It is sunny.",
    }
    # The message is sent back unchanged, although the SDK's types know only parts of it.
    history = [*PARIS, message, result]
    answer = sdk.chat.completions.create(
        model=MODEL,
        messages=history,  # type: ignore[arg-type]
        tools=[WEATHER],
        temperature=0,
    )
    assert "sunny" in (answer.choices[0].message.content or "")


def test_the_sdk_assembles_a_streamed_call(sdk: OpenAI) -> None:
    with sdk.chat.completions.stream(
        model=MODEL, messages=PARIS, tools=[WEATHER], temperature=0
    ) as stream:
        completion = stream.get_final_completion()
    [choice] = completion.choices
    [call] = choice.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Paris"}')
    assert choice.finish_reason == "tool_calls"


def test_models(sdk: OpenAI) -> None:
    listed = [model.id for model in sdk.models.list()]
    assert listed[0] == MODEL
    assert sdk.models.retrieve(MODEL).id == MODEL


def test_refusals_are_the_sdks_errors(sdk: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="Not authenticated"):
        sdk.with_options(api_key="wrong").chat.completions.create(model=MODEL, messages=FRANCE)
    with pytest.raises(openai.NotFoundError):
        sdk.chat.completions.create(model="meta/other", messages=FRANCE)
    with pytest.raises(openai.UnprocessableEntityError):
        sdk.chat.completions.create(model=MODEL, messages=FRANCE, temperature=3)
