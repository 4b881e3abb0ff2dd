"""A GGUF file of the user's own: its own chat template writes the prompt."""

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_voxtral.local import LocalVoxtral
from langchain_voxtral.local.weights import ensure_text_model
from langchain_voxtral.messages import Turn
from langchain_voxtral.prompts import LLAMA3, MISTRAL, render

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    own = tmp_path_factory.mktemp("models") / "my-model.gguf"
    shutil.copy(ensure_text_model(), own)
    with (
        LocalVoxtral(model=own, n_ctx=1024, api_key="") as server,
        httpx.Client(base_url=server.base_url, timeout=60, trust_env=False) as client,
    ):
        yield client


def infer(custom: httpx.Client, prompt: str, **fields: object) -> httpx.Response:
    body = {"input": prompt, "max_new_tokens": 8, "temperature": 0, **fields}
    return custom.post("inference/my-model", json=body)


def chat(custom: httpx.Client, *messages: dict[str, Any], **fields: object) -> httpx.Response:
    body = {"model": "my-model", "messages": messages, "max_tokens": 40, "temperature": 0, **fields}
    return custom.post("openai/chat/completions", json=body)


CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def test_prompts_of_all_formats_become_that_of_the_models_own_template(
    custom: httpx.Client,
) -> None:
    turns = [Turn("system", "Be brief."), Turn("user", "Hi")]
    answers = [infer(custom, render(turns, fmt)).json() for fmt in (LLAMA3, MISTRAL)]
    answers.append(infer(custom, CHATML).json())
    assert len({answer["num_input_tokens"] for answer in answers}) == 1
    assert len({answer["results"][0]["generated_text"] for answer in answers}) == 1
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    usage = chat(custom, *messages).json()["usage"]
    assert usage["prompt_tokens"] == answers[0]["num_input_tokens"]


def test_a_prefill_is_continued(custom: httpx.Client) -> None:
    turns = [Turn("user", "Count from one to five."), Turn("assistant", "One, two,")]
    [result] = infer(custom, render(turns, LLAMA3)).json()["results"]
    assert result["generated_text"].startswith(" three")


def test_a_text_without_special_tokens_is_continued(custom: httpx.Client) -> None:
    [result] = infer(custom, "The capital of France is", max_new_tokens=1).json()["results"]
    assert result == {"generated_text": " Paris"}


def test_a_model_whose_template_has_no_place_for_tools_calls_them_too(
    custom: httpx.Client,
) -> None:
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    [choice] = chat(custom, asked, tools=[WEATHER]).json()["choices"]
    [call] = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "Sunny"}
    [choice] = chat(custom, asked, choice["message"], result, tools=[WEATHER]).json()["choices"]
    assert "unny" in choice["message"]["content"]


@pytest.mark.parametrize("turn", ["<|start_header_id|>user<|end_header_id|>\n\n", "[INST]"])
def test_a_prompt_of_more_turns_than_the_context_has_tokens_is_refused(
    custom: httpx.Client, turn: str
) -> None:
    answer = infer(custom, turn * 40_000)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("Requested input length 4")
    assert message.endswith("exceeds maximum input length 1024")
