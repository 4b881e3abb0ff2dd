"""Answers as objects: the request, and how answers are parsed."""

import json
import pickle
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, Optional, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from support.scripted_models import (
    ScriptedChat,
    StreamingChat,
    call_chunks,
    called,
    text_chunks,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.structured_output import Method, bind_schema


class City(BaseModel):
    """A city."""

    name: str
    people: int


class CityV1(BaseModelV1):
    """A city."""

    name: str
    people: int


class CityDict(TypedDict):
    """A city."""

    name: str
    people: Optional[int]  # noqa: UP045 - as langchain-core's documentation writes it


CITY_PARAMETERS = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
CITY_SCHEMA = {"title": "City", "description": "A city."} | CITY_PARAMETERS
CITY_FUNCTION = {"name": "City", "description": "A city.", "parameters": CITY_PARAMETERS}
CLOSED_CITY = CITY_SCHEMA | {"additionalProperties": False}
KINDS = [City, CityV1, CityDict, CITY_SCHEMA, CITY_FUNCTION]


PARIS = {"name": "Paris", "people": 2}
PARIS_TEXT = json.dumps(PARIS)


def as_dict(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    return value.model_dump() if isinstance(value, BaseModel) else value.dict()


@pytest.mark.parametrize("schema", KINDS)
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_every_method_takes_every_kind_of_schema(schema: Any, method: Method) -> None:
    by_call = method == "function_calling"
    name = schema.__name__ if isinstance(schema, type) else "City"
    whole = called(PARIS, name) if by_call else AIMessage(PARIS_TEXT)
    chunks = call_chunks(PARIS_TEXT, name=name) if by_call else text_chunks(PARIS_TEXT)
    chain = bind_schema(ScriptedChat(answer=[whole]), schema, method=method)
    streaming = bind_schema(StreamingChat(answer=chunks), schema, method=method)
    answers = [
        chain.invoke("?"),
        await chain.ainvoke("?"),
        list(streaming.stream("?"))[-1],
        [value async for value in streaming.astream("?")][-1],
    ]
    assert [as_dict(answer) for answer in answers] == [PARIS] * 4
    kind = schema if schema is City or schema is CityV1 else dict
    assert {type(answer) for answer in answers} == {kind}


# Requests


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (
            {"method": "json_schema"},
            {"type": "json_schema", "json_schema": {"name": "City", "schema": CLOSED_CITY}},
        ),
        (
            {"method": "json_mode"},
            {"type": "json_schema", "json_schema": {"name": "City", "schema": CLOSED_CITY}},
        ),
        (
            {"method": "json_schema", "strict": False},
            {
                "type": "json_schema",
                "json_schema": {"name": "City", "schema": CLOSED_CITY, "strict": False},
            },
        ),
    ],
)
def test_the_schema_is_sent_as_response_format(
    options: dict[str, Any], sent: dict[str, Any]
) -> None:
    model = ScriptedChat(answer=[AIMessage(PARIS_TEXT)])
    bind_schema(model, City, temperature=0, **options).invoke("?")
    assert model.calls == [{"response_format": sent, "temperature": 0}]


def test_a_call_of_the_schema_is_forced_by_default() -> None:
    model = ScriptedChat(answer=[called(PARIS)])
    bind_schema(model, City, temperature=0).invoke("?")
    tool = {"type": "function", "function": CITY_FUNCTION}
    assert model.calls == [{"tools": [tool], "tool_choice": "City", "temperature": 0}]


@pytest.mark.parametrize("schema", KINDS)
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_traces_contain_the_schema(schema: Any, method: Method) -> None:
    seen: list[dict[str, Any]] = []

    class Seer(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
            seen.append(kwargs["options"]["ls_structured_output_format"])

    name = schema.__name__ if isinstance(schema, type) else "City"
    answer = called(PARIS, name) if method == "function_calling" else AIMessage(PARIS_TEXT)
    chain = bind_schema(ScriptedChat(answer=[answer]), schema, method=method, strict=False)
    chain.invoke("?", {"callbacks": [Seer()]})
    assert seen == [
        {"kwargs": {"method": method, "strict": False}, "schema": convert_to_json_schema(schema)}
    ]


@pytest.mark.parametrize(
    ("schema", "method", "message"),
    [
        (None, "function_calling", "needs a schema"),
        (None, "json_schema", "needs a schema"),
        (City, "yaml", "method cannot be 'yaml'"),
        ({"title": "Number", "type": "integer"}, "json_schema", "JSON schema of an object"),
    ],
)
def test_invalid_arguments_are_an_error(schema: Any, method: Any, message: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=message):
        bind_schema(ScriptedChat(answer=[]), schema, method=method)


# Unstreamed answers


BAD_CALLS: list[tuple[AIMessage, str]] = [
    (called({"name": "Paris", "people": "many"}), r"is no City: \$\.people: Input should be"),
    (called({"name": "Paris"}), r"\$\.people: Field required"),
    (called(PARIS, "Town"), "'Town' was called in place of 'City'"),
    (AIMessage("I would rather not."), "no tool was called; the answer is 'I would rather not.'"),
    (AIMessage("x" * 1000), r"answer is 'x{200}\.\.\.'"),
    (AIMessage("", tool_calls=called(PARIS).tool_calls * 2), "2 calls came where one"),
    (
        AIMessage(
            "", invalid_tool_calls=[{"name": "City", "args": PARIS_TEXT, "id": "1", "error": "odd"}]
        ),
        r"the call is broken \(odd\)",
    ),
    (
        AIMessage(
            "", invalid_tool_calls=[{"name": "City", "args": "[1", "id": "1", "error": None}]
        ),
        r"its arguments are no JSON object\): '\[1'",
    ),
]


@pytest.mark.parametrize(("answer", "message"), BAD_CALLS)
async def test_a_call_that_does_not_fit_is_an_error(answer: AIMessage, message: str) -> None:
    chain = bind_schema(ScriptedChat(answer=[answer]), City)
    with pytest.raises(OutputParserException, match=message):
        chain.invoke("?")
    with pytest.raises(OutputParserException, match=message):
        list(chain.stream("?"))
    with pytest.raises(OutputParserException, match=message):
        await chain.ainvoke("?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "Paris", "people": 2', "the answer is not JSON"),
        (f"Sure: {PARIS_TEXT}", "the answer is not JSON"),
        (f"{PARIS_TEXT}{PARIS_TEXT}", "the answer is not JSON"),
        ("", "the answer is empty"),
        ("[1]", r"is not a JSON object: '\[1\]'"),
        ('{"name": "Paris", "people": NaN}', "NaN is no JSON number"),
        (f"```json\n{PARIS_TEXT}\n```\nThat is Paris.", "the answer is not JSON"),
        ('```json\n{"name": "Paris", "people": 2\n```', "the answer is not JSON"),
    ],
)
@pytest.mark.parametrize("schema", KINDS)
def test_a_text_that_is_not_an_object_is_an_error(schema: Any, text: str, message: str) -> None:
    with pytest.raises(OutputParserException, match=message) as caught:
        bind_schema(ScriptedChat(answer=[AIMessage(text)]), schema, method="json_schema").invoke(
            "?"
        )
    assert caught.value.llm_output == text


@pytest.mark.parametrize(
    ("schema", "text", "message"),
    [
        (City, '{"name": "Paris"}', r"\$\.people"),
        (CityV1, '{"name": "Paris"}', r"\$\.people"),
        (City, '{"name": 3, "people": 3}', r"\$\.name"),
    ],
)
def test_an_object_that_is_not_valid_is_an_error(schema: Any, text: str, message: str) -> None:
    with pytest.raises(OutputParserException, match=message) as caught:
        bind_schema(ScriptedChat(answer=[AIMessage(text)]), schema, method="json_schema").invoke(
            "?"
        )
    assert caught.value.llm_output == text


def test_an_error_about_a_call_quotes_its_arguments_to_fixing_parsers() -> None:
    chain = bind_schema(ScriptedChat(answer=[called({"name": "Paris"}, "City")]), City)
    with pytest.raises(OutputParserException, match=r"\$\.people") as caught:
        chain.invoke("?")
    assert caught.value.llm_output == '{"name": "Paris"}'


@pytest.mark.parametrize("text", ['{"name": "Paris"}', '{"name": 3, "people": 3}'])
@pytest.mark.parametrize("schema", [CityDict, CITY_SCHEMA, CITY_FUNCTION])
def test_a_dict_is_not_checked_against_its_schema(schema: Any, text: str) -> None:
    chain = bind_schema(ScriptedChat(answer=[AIMessage(text)]), schema, method="json_schema")
    assert chain.invoke("?") == json.loads(text)


def test_an_error_says_that_the_answer_was_cut() -> None:
    cut = AIMessage('{"name": "Par', response_metadata={"finish_reason": "length"})
    with pytest.raises(OutputParserException, match="cut at max_tokens: raise max_tokens"):
        bind_schema(ScriptedChat(answer=[cut]), City, method="json_schema").invoke("?")
    whole = AIMessage(PARIS_TEXT, response_metadata={"finish_reason": "length"})
    chain = bind_schema(ScriptedChat(answer=[whole]), City, method="json_schema")
    assert chain.invoke("?") == City(name="Paris", people=2)


def test_json_mode_without_a_schema_takes_any_object() -> None:
    chain = bind_schema(
        ScriptedChat(answer=[AIMessage('{"any": [1.5]}')]), None, method="json_mode"
    )
    assert chain.invoke("?") == {"any": [1.5]}


def test_optional_fields_of_a_typed_dict_may_be_none() -> None:
    answer = {"name": "Paris", "people": None}
    chain = bind_schema(ScriptedChat(answer=[called(answer, "CityDict")]), CityDict)
    assert chain.invoke("?") == answer


def test_a_strict_pydantic_model_is_read_as_json() -> None:
    class Day(BaseModel):
        model_config = ConfigDict(strict=True)
        at: date
        kind: Literal["feast"]

    chain = bind_schema(
        ScriptedChat(answer=[called({"at": "2026-01-06", "kind": "feast"}, "Day")]), Day
    )
    assert chain.invoke("?") == Day(at=date(2026, 1, 6), kind="feast")


def test_a_function_without_parameters_may_be_called_without_arguments() -> None:
    class Nothing(BaseModel):
        pass

    [value] = bind_schema(StreamingChat(answer=call_chunks(name="Nothing")), Nothing).stream("?")
    assert value == Nothing()


# Streams


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
async def test_dicts_are_shown_as_they_grow(method: Method) -> None:
    pieces = ('{"name": "Pa', 'ris", ', '"people": 2}')
    chunks = call_chunks(*pieces) if method == "function_calling" else text_chunks(*pieces)
    chain = bind_schema(StreamingChat(answer=chunks), CITY_SCHEMA, method=method)
    grown = [{"name": "Pa"}, {"name": "Paris"}, PARIS]
    begun: list[Any] = [{}] if method == "function_calling" else []
    assert list(chain.stream("?")) == begun + grown
    assert [value async for value in chain.astream("?")] == begun + grown


def test_only_valid_partial_objects_are_shown() -> None:
    pieces = ('{"name": "Paris"', ', "people": 2', "1}")
    chain = bind_schema(StreamingChat(answer=call_chunks(*pieces)), City)
    assert list(chain.stream("?")) == [
        City(name="Paris", people=2),
        City(name="Paris", people=21),
    ]


@pytest.mark.parametrize("schema", [City, CITY_SCHEMA])
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("end", ['"people": 2', '"people": 2}}', "}"])
async def test_a_stream_that_ends_in_no_object_is_an_error(
    schema: Any, method: Method, end: str
) -> None:
    pieces = ('{"name": "Paris", ', end)
    chunks = call_chunks(*pieces) if method == "function_calling" else text_chunks(*pieces)
    chain = bind_schema(StreamingChat(answer=chunks), schema, method=method)
    with pytest.raises(OutputParserException, match="not JSON"):
        list(chain.stream("?"))
    with pytest.raises(OutputParserException, match="not JSON"):
        [value async for value in chain.astream("?")]


def test_the_end_of_a_stream_says_that_it_was_cut() -> None:
    chunks = text_chunks('{"name": "Par', finish_reason="length")
    with pytest.raises(OutputParserException, match="cut at max_tokens"):
        list(bind_schema(StreamingChat(answer=chunks), City, method="json_schema").stream("?"))


def test_a_failing_stream_fails_with_its_own_error() -> None:
    class Failing(StreamingChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            yield from super()._stream(*args, **kwargs)
            raise ConnectionError("lost")

    chain = bind_schema(Failing(answer=text_chunks('{"name": ')), City, method="json_schema")
    with pytest.raises(ConnectionError, match="lost"):
        list(chain.stream("?"))


# Raw answers


async def test_the_raw_answer_comes_with_the_parsed_object() -> None:
    answer = called(PARIS)
    chain = bind_schema(ScriptedChat(answer=[answer]), City, include_raw=True)
    expected = {"raw": answer, "parsed": City(name="Paris", people=2), "parsing_error": None}
    assert chain.invoke("?") == expected
    assert await chain.ainvoke("?") == expected


async def test_the_raw_answer_comes_with_the_parsing_error() -> None:
    chain = bind_schema(ScriptedChat(answer=[AIMessage("No.")]), City, include_raw=True)
    for answer in (chain.invoke("?"), await chain.ainvoke("?")):
        error = answer.pop("parsing_error")
        assert answer == {"raw": AIMessage("No.", id=answer["raw"].id), "parsed": None}
        assert isinstance(error, OutputParserException)
        assert "no tool was called" in str(error)


@pytest.mark.parametrize("end", ["}", ""])
async def test_the_raw_answer_streams_and_the_parsed_object_comes_last(end: str) -> None:
    chunks = text_chunks('{"name": "Paris",', f' "people": 2{end}')
    chain = bind_schema(StreamingChat(answer=chunks), City, method="json_schema", include_raw=True)
    for parts in (list(chain.stream("?")), [part async for part in chain.astream("?")]):
        *raw, outcome = parts
        assert [part["raw"].content for part in raw] == [chunk.content for chunk in chunks]
        assert outcome["parsed"] == (City(name="Paris", people=2) if end else None)
        assert isinstance(outcome["parsing_error"], OutputParserException) == (not end)


def test_any_failure_of_a_validator_is_a_parsing_error() -> None:
    class Odd(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise LookupError(value)

    model = StreamingChat(answer=call_chunks('{"name": "x"', "}", name="Odd"))
    with pytest.raises(OutputParserException, match="is no Odd: LookupError") as caught:
        list(bind_schema(model, Odd).stream("?"))
    assert isinstance(caught.value.__cause__, LookupError)
    error = list(bind_schema(model, Odd, include_raw=True).stream("?"))[-1]["parsing_error"]
    assert (type(error), str(error)) == (OutputParserException, str(caught.value))


@pytest.mark.parametrize("include_raw", [False, True])
def test_a_structured_model_survives_pickle(include_raw: bool) -> None:
    answer = called(PARIS).model_copy(update={"id": "1"})
    chain = bind_schema(ScriptedChat(answer=[answer]), City, include_raw=include_raw)
    assert pickle.loads(pickle.dumps(chain)).invoke("?") == chain.invoke("?")  # noqa: S301 - our own


@pytest.mark.parametrize("options", [{"tools": []}, {"tool_choice": "any"}])
def test_a_schema_excludes_another_response_format(options: dict[str, Any]) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="cannot stand beside a schema"):
        bind_schema(ScriptedChat(answer=[]), City, **options)
