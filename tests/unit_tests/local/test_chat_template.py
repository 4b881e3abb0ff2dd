"""Prompts from the client's format to the model's."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.api.requests import InferenceRequest, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import (
    CHATML,
    LLAMA3,
    MISTRAL,
    Template,
    template_for,
)
from langchain_voxtral.local.prompting.gguf import read_text_field
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tasks import plan_input
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts import FORMATS, escape, render

PRIMER = (
    "<|im_start|>system\nYou are a helpful AI assistant. Answer in one or two short sentences."
    "<|im_end|>\n"
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n2+2 equals 4.<|im_end|>\n"
    "<|im_start|>user\nName two fruits.<|im_end|>\n"
    "<|im_start|>assistant\nTwo fruits are apples and bananas.<|im_end|>\n"
)
DOCUMENTED = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
MARKERS = ["<|im_end|>", "<|im_start|>", "<repo_name>", "<|endoftext|>", "<file_sep>"]


def prompt_for(template: Template, text: str) -> str:
    """Return what the model reads for what a client sends."""
    return plan_input(
        parse_body(json.dumps({"input": text}).encode(), InferenceRequest), template
    ).prompt


def llama3(*turns: Turn) -> str:
    return render(turns, FORMATS["llama3"])


def test_a_conversation_without_a_system_message_gets_the_default_one() -> None:
    assert prompt_for(CHATML, DOCUMENTED) == (
        f"{PRIMER}<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_system_message_replaces_the_default_one() -> None:
    prompt = llama3(Turn("system", "Be brief."), Turn("user", "Hi"))
    assert prompt_for(CHATML, prompt) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_mistrals_special_tokens_are_read_too() -> None:
    assert prompt_for(CHATML, "<s>[INST]Q1[/INST]A1</s>[INST]Q2[/INST]") == (
        f"{PRIMER}<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
        "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_prefill_is_continued() -> None:
    prompt = llama3(Turn("user", "Count."), Turn("assistant", "One, "))
    assert prompt_for(CHATML, prompt) == (
        f"{PRIMER}<|im_start|>user\nCount.<|im_end|>\n<|im_start|>assistant\nOne, "
    )


CALLED = (
    Turn("user", "Weather?"),
    Turn("assistant", "", (ToolCall("abcdef123", "weather", {"city": "Paris"}),)),
    Turn("tool", "22", tool_call_id="abcdef123"),
)
RESULTS_PRIMER = (
    "<|im_start|>user\nHow old is Ann?\nResult of age: 41<|im_end|>\n"
    "<|im_start|>assistant\nAnn is 41 years old.<|im_end|>\n"
    "<|im_start|>user\nIs the shop open and how much is the bread?\n"
    "Result of shop: closed\nResult of price: 2 dollars<|im_end|>\n"
    "<|im_start|>assistant\nThe shop is closed, and the bread is 2 dollars.<|im_end|>\n"
)


def test_results_follow_their_question_and_calls_are_left_out() -> None:
    assert prompt_for(CHATML, llama3(Turn("system", "S"), *CALLED, Turn("user", "And?"))) == (
        f"<|im_start|>system\nS<|im_end|>\n{RESULTS_PRIMER}<|im_start|>user\nWeather?\n"
        "Result of weather: 22<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_results_after_assistant_text_are_their_own_turn() -> None:
    user, call, result = CALLED
    prompt = llama3(Turn("system", "S"), user, replace(call, text="Wait."), result)
    assert prompt_for(CHATML, prompt).endswith(
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\nWait.<|im_end|>\n"
        "<|im_start|>user\nResult of weather: 22<|im_end|>\n<|im_start|>assistant\n"
    )


def test_examples_of_calls_follow_the_system_turn() -> None:
    example = (Turn("user", "Q"), Turn("assistant", "A"))
    reading = ParsedPrompt("llama3", CALLED)
    assert CHATML.write(reading, example) == (
        "<|im_start|>system\nYou are a helpful AI assistant. "
        "Answer in one or two short sentences.<|im_end|>\n"
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
        "<|im_start|>user\nWeather?\nResult of weather: 22<|im_end|>\n<|im_start|>assistant\n"
    )
    own = replace(reading, turns=(Turn("system", "S"), *CALLED))
    assert CHATML.write(own, example).startswith(
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n"
    )


def test_tools_are_not_shown_to_a_model_that_reads_no_schemas() -> None:
    offer = '[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "f"}}][/AVAILABLE_TOOLS]'
    assert prompt_for(CHATML, f"<s>{offer}[INST]Hi[/INST]") == prompt_for(
        CHATML, "<s>[INST]Hi[/INST]"
    )


@pytest.mark.parametrize("prompt", ["Once upon a time", "<|im_start|>user\nHi<|im_end|>\n"])
def test_a_raw_prompt_and_one_in_the_models_own_format_stay_as_they_are(prompt: str) -> None:
    assert prompt_for(CHATML, prompt) == prompt


@given(st.lists(st.sampled_from([*MARKERS, "a", " "]), min_size=1).map("".join))
def test_no_content_can_forge_one_of_the_models_special_tokens(text: str) -> None:
    plain, forging = (
        prompt_for(CHATML, llama3(Turn("system", "S"), Turn("user", content)))
        for content in ("x", f"x{text}")
    )
    assert [forging.count(marker) for marker in MARKERS] == [
        plain.count(marker) for marker in MARKERS
    ]


def test_special_tokens_of_other_models_reach_the_model_unchanged() -> None:
    text = "What does </s> mean?"
    assert text in prompt_for(CHATML, llama3(Turn("user", escape(text))))


def test_a_voxtral_file_gets_mistrals_special_tokens_without_the_token_that_llama_cpp_adds() -> (
    None
):
    template = template_for(Path("Voxtral-Mini-3B-2507-Q4_K_M.gguf"))
    assert template is MISTRAL
    assert prompt_for(template, DOCUMENTED) == "[INST]Hello![/INST]"
    assert prompt_for(template, "<s>[INST]Hello![/INST]") == "[INST]Hello![/INST]"
    prefilled = llama3(Turn("user", "Count."), Turn("assistant", "One, "))
    assert prompt_for(template, prefilled) == "[INST]Count.[/INST]One, "


def test_tools_are_written_where_the_models_format_has_its_place_for_them() -> None:
    tools = [{"type": "function", "function": {"name": "now"}}]
    prompt = f"[AVAILABLE_TOOLS]{json.dumps(tools)}[/AVAILABLE_TOOLS][INST]Hi[/INST]"
    llama3 = prompt_for(LLAMA3, f"<s>{prompt}")
    assert llama3.count('{"name": "now"}<|eot_id|>') == 1
    assert prompt_for(MISTRAL, f"<|begin_of_text|>{llama3}") == prompt


def test_what_a_format_has_no_place_for_is_refused() -> None:
    """Mistral's describes tools before a user's turn, and here is none."""
    prompt = prompt_for(
        LLAMA3, "<s>[AVAILABLE_TOOLS][{}][/AVAILABLE_TOOLS][TOOL_RESULTS]2[/TOOL_RESULTS]"
    )
    with pytest.raises(ErrorResponse) as caught:
        prompt_for(MISTRAL, prompt)
    assert caught.value.status == 400


def gguf(path: Path, **fields: str) -> Path:
    """Write the header of a GGUF file, with fields of other kinds before the strings."""
    text = struct.Struct("<Q")

    def string(value: str) -> bytes:
        return text.pack(len(value.encode())) + value.encode()

    head = [
        string("n") + struct.pack("<If", 6, 1.5),
        string("list") + struct.pack("<IIQ", 9, 8, 2) + string("é") + string("b"),
        string("numbers") + struct.pack("<IIQ3H", 9, 2, 3, 1, 2, 3),
    ]
    tail = [string(name) + struct.pack("<I", 8) + string(value) for name, value in fields.items()]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(head + tail)) + b"".join(head + tail))
    return path


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [("tekken", MISTRAL), ("llama-bpe", LLAMA3), ("smollm", CHATML), ("", CHATML)],
)
def test_the_format_follows_the_tokenizer(tokenizer: str, expected: object, tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf", **{"other": "x", "tokenizer.ggml.pre": tokenizer})
    assert template_for(path) is expected


def test_a_missing_field_is_none(tmp_path: Path) -> None:
    assert read_text_field(gguf(tmp_path / "m.gguf", a="b"), "c") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"GGUF\x03\x00"])
def test_a_file_that_is_not_gguf_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(VoxtralLocalError, match=r"m\.gguf"):
        template_for(path)
