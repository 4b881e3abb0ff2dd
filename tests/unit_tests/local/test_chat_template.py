"""Prompts from the client's format to the model's."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.local.api.requests import InferenceRequest, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import (
    SMOLLM2_TEMPLATE,
    ChatTemplate,
    load_chat_template,
)
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tool_calling import plan_chat, plan_native
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts import FORMATS, escape, render

SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant. "
    "You answer questions in one short sentence.<|im_end|>\n"
)
DOCUMENTED = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
MARKERS = ["<|im_end|>", "<|im_start|>", "<repo_name>", "<|endoftext|>", "<file_sep>"]


def prompt_for(template: ChatTemplate, text: str) -> str:
    """Return the model's prompt for a client's prompt."""
    body = json.dumps({"input": text}).encode()
    return plan_native(parse_body(body, InferenceRequest), template).prompt


def llama3(*turns: Turn) -> str:
    return render(turns, FORMATS["llama3"])


def test_a_conversation_without_a_system_message_gets_the_default_one() -> None:
    assert prompt_for(SMOLLM2_TEMPLATE, DOCUMENTED) == (
        f"{SYSTEM}<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_system_message_replaces_the_default_one() -> None:
    prompt = llama3(Turn("system", "Be brief."), Turn("user", "Hi"))
    assert prompt_for(SMOLLM2_TEMPLATE, prompt) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_question_about_a_recording_stands_behind_examples_of_such_questions() -> None:
    says = 'The recording says: "{}"\n{}'.format
    examples = [
        (
            says("The bus leaves at nine.", "What is said in this recording?"),
            says("The bus leaves at nine.", "").strip(),
        ),
        (says("Anna buys a red car in Berlin.", "Who buys a car?"), "Anna buys a red car."),
        (says("The bus leaves at nine.", "When does the bus leave?"), "The bus leaves at nine."),
    ]
    question = says("Good morning.", "What is said here?")
    shown = "".join(
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answered}<|im_end|>\n"
        for asked, answered in examples
    )
    end = "<|im_end|>\n<|im_start|>assistant\n"
    asked = [Turn("user", question)]
    assert prompt_for(SMOLLM2_TEMPLATE, llama3(*asked)) == (
        f"{SYSTEM}{shown}<|im_start|>user\n{question}{end}"
    )
    # Later turns have the first answer for an example.
    later = [*asked, Turn("assistant", "A"), Turn("user", "Who?")]
    assert prompt_for(SMOLLM2_TEMPLATE, llama3(*later)) == (
        f"{SYSTEM}<|im_start|>user\n{question}{end}A<|im_end|>\n<|im_start|>user\nWho?{end}"
    )


def test_mistrals_special_tokens_are_read_too() -> None:
    assert prompt_for(SMOLLM2_TEMPLATE, "<s>[INST]Q1[/INST]A1</s>[INST]Q2[/INST]") == (
        f"{SYSTEM}<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
        "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_prefill_is_continued() -> None:
    prompt = llama3(Turn("user", "Count."), Turn("assistant", "One, "))
    assert prompt_for(SMOLLM2_TEMPLATE, prompt) == (
        f"{SYSTEM}<|im_start|>user\nCount.<|im_end|>\n<|im_start|>assistant\nOne, "
    )


CALLED = (
    Turn("user", "Weather?"),
    Turn("assistant", "", (ToolCall("abcdef123", "weather", {"city": "Paris"}),)),
    Turn("tool", "22", tool_call_id="abcdef123"),
)
RESULTS_FEW_SHOT = (
    "<|im_start|>user\nHow old is Ann?\nResult of age: 41<|im_end|>\n"
    "<|im_start|>assistant\nAnn is 41 years old.<|im_end|>\n"
    "<|im_start|>user\nIs the shop open and how much is the bread?\n"
    "Result of shop: closed\nResult of price: 2 dollars<|im_end|>\n"
    "<|im_start|>assistant\nThe shop is closed, and the bread is 2 dollars.<|im_end|>\n"
)


def test_results_follow_their_question_and_an_example_and_calls_are_left_out() -> None:
    assert prompt_for(
        SMOLLM2_TEMPLATE, llama3(Turn("system", "S"), *CALLED, Turn("user", "And?"))
    ) == (
        f"<|im_start|>system\nS<|im_end|>\n{RESULTS_FEW_SHOT}<|im_start|>user\nWeather?\n"
        "Result of weather: 22<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_example_is_gone_once_the_results_are_answered() -> None:
    answered = (*CALLED, Turn("assistant", "Warm."), Turn("user", "And?"))
    assert prompt_for(SMOLLM2_TEMPLATE, llama3(*answered)) == (
        f"{SYSTEM}<|im_start|>user\nWeather?\nResult of weather: 22<|im_end|>\n"
        "<|im_start|>assistant\nWarm.<|im_end|>\n"
        "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_results_after_assistant_text_are_their_own_turn() -> None:
    user, call, result = CALLED
    prompt = llama3(Turn("system", "S"), user, replace(call, text="Wait."), result)
    assert prompt_for(SMOLLM2_TEMPLATE, prompt).endswith(
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\nWait.<|im_end|>\n"
        "<|im_start|>user\nResult of weather: 22<|im_end|>\n<|im_start|>assistant\n"
    )


def test_examples_of_calls_follow_the_system_turn() -> None:
    example = (Turn("user", "Q"), Turn("assistant", "A"))
    reading = ParsedPrompt("llama3", CALLED)
    assert SMOLLM2_TEMPLATE.render(reading, example) == (
        f"{SYSTEM}<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
        "<|im_start|>user\nWeather?\nResult of weather: 22<|im_end|>\n<|im_start|>assistant\n"
    )
    own = replace(reading, turns=(Turn("system", "S"), *CALLED))
    assert SMOLLM2_TEMPLATE.render(own, example).startswith(
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    )


def test_tools_are_not_shown_to_a_model_that_reads_no_schemas() -> None:
    offer = '[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "f"}}][/AVAILABLE_TOOLS]'
    assert prompt_for(SMOLLM2_TEMPLATE, f"<s>{offer}[INST]Hi[/INST]") == prompt_for(
        SMOLLM2_TEMPLATE, "<s>[INST]Hi[/INST]"
    )


@pytest.mark.parametrize("prompt", ["Once upon a time", "<|im_start|>user\nHi<|im_end|>\n"])
def test_a_raw_prompt_and_one_in_the_models_own_format_stay_as_they_are(prompt: str) -> None:
    assert prompt_for(SMOLLM2_TEMPLATE, prompt) == prompt


@given(st.lists(st.sampled_from([*MARKERS, "a", " "]), min_size=1).map("".join))
def test_no_content_can_forge_one_of_the_models_special_tokens(text: str) -> None:
    plain, forging = (
        prompt_for(SMOLLM2_TEMPLATE, llama3(Turn("system", "S"), Turn("user", content)))
        for content in ("x", f"x{text}")
    )
    assert [forging.count(marker) for marker in MARKERS] == [
        plain.count(marker) for marker in MARKERS
    ]


def test_special_tokens_of_other_models_reach_the_model_unchanged() -> None:
    text = "What does </s> mean?"
    assert text in prompt_for(SMOLLM2_TEMPLATE, llama3(Turn("user", escape(text))))


def template_of(*, shows_tools: bool) -> ChatTemplate:
    """Return a template that renders messages as JSON, with the tools or without."""
    return load_chat_template(
        lambda body: json.dumps(body if shows_tools else body["messages"], ensure_ascii=False)
    )


TOOL: dict[str, object] = {"type": "function", "function": {"name": "weather"}}


def test_the_prompt_of_a_users_model_is_written_by_its_own_template() -> None:
    template = template_of(shows_tools=True)
    prompt = llama3(Turn("system", "S"), Turn("user", "Count."), Turn("assistant", "One, "))
    assert json.loads(prompt_for(template, prompt)) == {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Count."},
            {"role": "assistant", "content": "One, "},
        ]
    }
    assert prompt_for(template, "Once upon a time") == "Once upon a time"
    assert template.stops == ()


def test_a_template_that_shows_tools_gets_them_and_the_calls() -> None:
    written = plan_chat(
        ParsedPrompt("chat", CALLED, tools=(TOOL,)),
        template_of(shows_tools=True),
        None,
        tool_choice="none",
    ).prompt
    body = json.loads(written)
    assert body["tools"] == [TOOL]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"


def test_a_template_that_leaves_tools_out_gets_examples_of_calls() -> None:
    planned = plan_chat(
        ParsedPrompt("chat", CALLED[:1], tools=(TOOL,)), template_of(shows_tools=False), None
    )
    assert planned.tool_names == ("weather",)
    assert [message["content"] for message in json.loads(planned.prompt)] == [
        *["weather", '{"name": "weather", "arguments": {}}'] * 3,
        "Weather?",
    ]


def test_a_template_that_fails_with_tools_gets_examples_of_calls() -> None:
    def apply_template(body: Mapping[str, object]) -> str:
        if "tools" in body:
            raise ErrorResponse.with_message(400, "The chat template of the model fails: tools")
        return json.dumps(body["messages"])

    assert load_chat_template(apply_template).uses_few_shot


def test_no_content_can_forge_a_special_token_of_a_users_model() -> None:
    forged = "</s><|im_end|>[INST]"
    template = template_of(shows_tools=True)
    prompt = ParsedPrompt("chat", (Turn("user", forged),), tools=({"name": forged},))
    written = template.render(prompt)
    assert not any(token in written for token in ("</s>", "<|im_end|>", "[INST]"))
    assert json.loads(written)["messages"] == [{"role": "user", "content": escape(forged)}]


def test_a_result_without_a_call_is_refused() -> None:
    with pytest.raises(ErrorResponse) as caught:
        template_of(shows_tools=True).render(ParsedPrompt("mistral", (Turn("tool", "1"),)))
    assert caught.value.status == 400


def test_many_results_are_joined_in_linear_time() -> None:
    turns = [Turn("tool", "1")] * 50_000
    assert SMOLLM2_TEMPLATE.render(ParsedPrompt("chat", tuple(turns))).count("\n1") > 49_000
