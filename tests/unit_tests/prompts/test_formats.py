"""Prompt formats as tables, and their validation."""

import pickle

import pytest

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.local.prompting.prompt_reader import parse_prompt
from langchain_voxtral.messages import ToolCall, Turn
from langchain_voxtral.prompts import (
    FORMATS,
    LLAMA3,
    MISTRAL,
    Delimiters,
    PromptFormat,
    ToolCallSyntax,
    get_format,
    render,
)

MY_CHATML = PromptFormat(
    name="my-chatml",
    begin="",
    system=Delimiters("<|im_start|>system\n", "<|im_end|>\n"),
    user=Delimiters("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=Delimiters("<|im_start|>assistant\n", "<|im_end|>\n"),
    tool=Delimiters("<|im_start|>tool\n", "<|im_end|>\n"),
    calls=ToolCallSyntax(
        arguments_key="arguments", open="<tool_call>\n", close="\n</tool_call>", separator="\n"
    ),
    stops=("<|im_end|>",),
)
CALLS = (ToolCall("a", "add", {"x": 1}), ToolCall("b", "now", {}))
TURNS = [
    Turn("system", "Be brief."),
    Turn("user", "Add."),
    Turn("assistant", "I look.", CALLS),
    Turn("tool", "2", tool_call_id="a"),
    Turn("tool", "noon", tool_call_id="b"),
    Turn("assistant", "Two, "),
]


def test_a_third_format_is_a_table() -> None:
    prompt = render(TURNS, MY_CHATML)
    assert prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nAdd.<|im_end|>\n"
        "<|im_start|>assistant\nI look.\n"
        '<tool_call>\n{"name": "add", "arguments": {"x": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n2<|im_end|>\n"
        "<|im_start|>tool\nnoon<|im_end|>\n"
        "<|im_start|>assistant\nTwo, "
    )
    reading = parse_prompt(prompt)
    assert reading.format == "chatml"
    assert [turn.text for turn in reading.turns] == [turn.text for turn in TURNS[:-1]]
    assert reading.prefill == "Two, "


def test_llama3_writes_calls_as_llama_3_1_documents_them() -> None:
    assert render(TURNS[1:], LLAMA3) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nAdd.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nI look.\n"
        '{"name": "add", "parameters": {"x": 1}}\n{"name": "now", "parameters": {}}<|eot_id|>'
        "<|start_header_id|>ipython<|end_header_id|>\n\n2<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\nnoon<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nTwo, "
    )


def test_unanswered_calls_at_the_end_are_no_prefill() -> None:
    turns = [Turn("user", "Add."), Turn("assistant", "", CALLS[1:])]
    assert render(turns, LLAMA3).endswith(
        '{"name": "now", "parameters": {}}<|eot_id|>'
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_formats_are_found_by_name_and_pass_through() -> None:
    assert FORMATS == {"llama3": LLAMA3, "mistral": MISTRAL}
    assert get_format("llama3") is LLAMA3
    assert get_format("mistral") is MISTRAL
    assert get_format(MY_CHATML) is MY_CHATML


def test_the_stops_of_each_format() -> None:
    assert LLAMA3.stops == ("<|eot_id|>",)
    assert MISTRAL.stops == ("</s>", "[INST]")
    assert {"<|start_header_id|>", "<|end_of_text|>"} <= set(LLAMA3.trims)
    assert not set(LLAMA3.stops) & set(LLAMA3.trims)
    assert not set(MISTRAL.stops) & set(MISTRAL.trims)


def test_an_unknown_format_is_an_error_that_names_the_known() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        get_format("alpaca")
    assert str(raised.value) == (
        "There is no prompt format 'alpaca': choose one of 'llama3', 'mistral', "
        "or give a PromptFormat."
    )


def test_a_format_whose_special_tokens_content_could_forge_is_refused() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        PromptFormat(
            name="transcript",
            begin="",
            system=Delimiters("", "\n"),
            user=Delimiters("User: ", "\n"),
            assistant=Delimiters("Assistant: ", "\n"),
            tool=Delimiters("Tool: ", "\n"),
            calls=ToolCallSyntax(arguments_key="arguments"),
        )
    assert str(raised.value) == (
        "The delimiter '\\n' of prompt format 'transcript' contains none of the special tokens "
        "that content is protected from, so a user's text could forge a turn. Use delimiters like "
        "<|word|>, or those of LLAMA3 and MISTRAL."
    )


@pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL, MY_CHATML], ids=lambda fmt: fmt.name)
def test_a_format_is_a_value(fmt: PromptFormat) -> None:
    copy = pickle.loads(pickle.dumps(fmt))  # noqa: S301 -- our own bytes
    assert copy == fmt
    assert hash(copy) == hash(fmt)


def test_tools_in_a_format_without_a_place_for_them_are_an_error() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        render(TURNS, MY_CHATML, tools=[{"type": "function"}])
    assert str(raised.value) == (
        "Prompt format 'my-chatml' has no place for tools: give it one, as "
        "PromptFormat(tools=ToolDefinitionSyntax(...)), or describe them in a system message."
    )


def test_tools_without_a_user_turn_are_an_error() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        render(TURNS[:1], MISTRAL, tools=[{"type": "function"}])
    assert str(raised.value) == (
        "Prompt format 'mistral' describes tools before the last user message, and there is "
        "none: add one."
    )


def test_a_result_without_its_calls_id_is_an_error_where_the_id_is_written() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        render([Turn("tool", "2")], MISTRAL)
    assert str(raised.value) == (
        "A tool turn has no tool_call_id, and prompt format 'mistral' writes it: give the id of "
        "the call that it answers."
    )


def test_arguments_that_are_not_json_are_an_error_that_names_the_call() -> None:
    turns = [Turn("assistant", "", (ToolCall("a", "add", {"x": {1, 2}}),))]
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        render(turns, LLAMA3)
    assert str(raised.value) == (
        "JSON cannot express the arguments of the call of 'add': Object of type set is not JSON "
        "serializable. Use strings, numbers, booleans, None, lists, and dicts with string keys."
    )
