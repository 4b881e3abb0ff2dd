"""Answers that follow a schema or a pattern, from a model that would not do so by itself."""

import json
import re
from enum import Enum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field

from langchain_voxtral.local.engine import llama

INFER = "inference/mistralai/Voxtral-Mini-3B-2507"
HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"


class Kind(Enum):
    """A choice."""

    CAT = "cat"
    DOG = "dog"


class Toy(BaseModel):
    """A part, with a number that has decimals."""

    name: str
    price: float


class Pet(BaseModel):
    """Every type that pydantic generates schemas for."""

    kind: Kind
    name: str
    age: int = Field(ge=0, le=30)
    nickname: str | None
    toys: list[Toy] = Field(max_length=2)


def prompt(question: str) -> str:
    user, assistant = HEADER.format("user"), HEADER.format("assistant")
    return f"<|begin_of_text|>{user}{question}<|eot_id|>{assistant}"


def ask(http: httpx.Client, question: str, response_format: object, **fields: object) -> Any:
    body = {
        "input": prompt(question),
        "response_format": response_format,
        "temperature": 0,
        "max_new_tokens": 300,
        **fields,
    }
    return http.post(INFER, json=body)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    generated: str = answer.json()["results"][0]["generated_text"]
    return generated


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_nested_model_is_valid(http: httpx.Client, temperature: float) -> None:
    answer = ask(
        http,
        "My dog is called Rex, he is 4 and has a ball.",
        schema_format(Pet.model_json_schema()),
        temperature=temperature,
        seed=1,
    )
    Pet.model_validate_json(text(answer))


def test_a_sentiment_is_one_of_the_enum(http: httpx.Client) -> None:
    schema = {"enum": ["positive", "negative"]}
    answer = text(ask(http, "I love this film. Sentiment?", schema_format(schema)))
    assert json.loads(answer) in schema["enum"]


def test_a_json_object_is_an_object(http: httpx.Client) -> None:
    answer = text(ask(http, "Describe a cat as JSON.", {"type": "json_object"}))
    assert isinstance(json.loads(answer), dict)


@pytest.mark.parametrize("pattern", [r"[0-9]{3}-[0-9]{4}", r"(yes|no)/(maybe|never)", "né+ [^a]"])
def test_a_pattern_matches_the_whole_answer(http: httpx.Client, pattern: str) -> None:
    answer = text(ask(http, "Say something.", {"type": "regex", "regex": pattern}))
    assert re.fullmatch(pattern, answer)


def test_an_answer_cut_by_its_limit_is_not_an_error(http: httpx.Client) -> None:
    answer = ask(http, "A name?", schema_format({"type": "string"}), max_new_tokens=2)
    assert answer.json()["num_tokens"] == 2


def test_a_pattern_the_engine_cannot_compile_is_an_error_and_no_free_text(
    http: httpx.Client,
) -> None:
    """llama.cpp itself reports nothing and generates without a constraint."""
    answer = ask(http, "Say hello.", {"type": "regex", "regex": "(?=a)ab"})
    message = "response_format: the embedded engine cannot enforce this schema or pattern"
    assert (answer.status_code, answer.json()) == (400, {"error": {"message": message}})


def test_an_answer_that_takes_too_long_ends_with_an_error(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "MAX_GENERATION_SECONDS", 0)
    answer = ask(http, "Say hello.", {"type": "regex", "regex": "a{100000}"})
    message = (
        "The answer was not complete after 600 seconds: ask for fewer tokens, or for a simpler "
        "response_format"
    )
    assert (answer.status_code, answer.json()) == (400, {"error": {"message": message}})


def test_in_a_stream_that_error_replaces_the_final_event(http: httpx.Client) -> None:
    answer = ask(http, "Say hello.", {"type": "regex", "regex": "(?=a)ab"}, stream=True)
    *tokens, last = [json.loads(event[6:]) for event in answer.text.split("\n\n")[:-1]]
    message = "response_format: the embedded engine cannot enforce this schema or pattern"
    assert last == {"error": {"message": message}}
    assert {event["details"] for event in tokens} == {None}
