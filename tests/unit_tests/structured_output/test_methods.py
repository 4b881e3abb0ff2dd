"""`with_structured_output` on each endpoint, by each method."""

import json
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from support.call_modes import CALL_MODES
from support.scripted_server import Reply, ScriptedServer
from support.tool_dialects import (
    CHAT,
    LLAMA3,
    MISTRAL,
    Dialect,
    Native,
    ScriptedCall,
    in_every_dialect,
)

METHODS = ["function_calling", "json_schema", "json_mode"]
JSON = '{"name": "Anna", "age": 31}'
VALUES = {"name": "Anna", "age": 31}


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The first name.")
    age: int


class PersonV1(BaseModelV1):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: Annotated[str, ..., "The first name."]
    age: int


PERSON_SCHEMA: dict[str, Any] = {
    "title": "Person",
    "description": "A person.",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "The first name."},
        "age": {"type": "integer"},
    },
    "required": ["name", "age"],
}
PersonDict.__name__ = "Person"
PersonV1.__name__ = "Person"

SCHEMAS: dict[str, tuple[Any, Any]] = {
    "pydantic": (Person, Person(name="Anna", age=31)),
    "pydantic.v1": (PersonV1, PersonV1(name="Anna", age=31)),
    "a TypedDict": (PersonDict, VALUES),
    "a JSON schema": (PERSON_SCHEMA, VALUES),
}
of_each_kind = pytest.mark.parametrize(("schema", "value"), SCHEMAS.values(), ids=SCHEMAS)
of_each_class = pytest.mark.parametrize("schema", [Person, PersonV1])
of_each_dict = pytest.mark.parametrize("schema", [PersonDict, PERSON_SCHEMA])
by_each_method = pytest.mark.parametrize("method", METHODS)


def reply(
    dialect: Dialect, call_mode: str, method: str, written: str = JSON, reason: str = ""
) -> Reply:
    """Return an answer with this JSON where the method expects it."""
    if method == "function_calling":
        return dialect.reply(call_mode, calls=[ScriptedCall("Person", written)], reason=reason)
    return dialect.reply(call_mode, written, reason=reason)


async def result(chain: Any, call_mode: str) -> list[Any]:
    """Return all values of a stream, or the only value."""
    match call_mode:
        case "invoke":
            return [chain.invoke("Anna is 31.")]
        case "ainvoke":
            return [await chain.ainvoke("Anna is 31.")]
        case "stream":
            return list(chain.stream("Anna is 31."))
        case _:
            return [value async for value in chain.astream("Anna is 31.")]


@in_every_dialect
@by_each_method
@of_each_kind
async def test_the_answer_is_an_object_of_the_schema(
    dialect: Dialect, method: str, schema: Any, value: Any
) -> None:
    with ScriptedServer(*[reply(dialect, call_mode, method) for call_mode in CALL_MODES]) as server:
        chain = dialect.chat(server).with_structured_output(schema, method=method)  # type: ignore[arg-type]
        answers = [(await result(chain, call_mode))[-1] for call_mode in CALL_MODES]
    assert answers == [value] * 4
    assert {type(answer) for answer in answers} == {type(value)}


@in_every_dialect
@by_each_method
@of_each_kind
async def test_include_raw_returns_the_raw_answer(
    dialect: Dialect, method: str, schema: Any, value: Any
) -> None:
    with ScriptedServer(*[reply(dialect, call_mode, method) for call_mode in CALL_MODES]) as server:
        chain = dialect.chat(server).with_structured_output(
            schema,
            method=method,  # type: ignore[arg-type]
            include_raw=True,
        )
        for call_mode in CALL_MODES:
            whole, *rest = await result(chain, call_mode)
            for part in rest:
                whole = whole + part
            raw = whole.pop("raw")
            assert whole == {"parsed": value, "parsing_error": None}
            assert isinstance(raw, AIMessage)
            calls = [call["args"] for call in raw.tool_calls]
            assert (calls or [json.loads(str(raw.content))]) == [VALUES]
            assert raw.response_metadata["model_provider"] == "deepinfra"


@in_every_dialect
@by_each_method
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_partial_objects_are_shown_while_they_are_written(
    dialect: Dialect, method: str, call_mode: str
) -> None:
    people = {"title": "Person", "type": "object", "properties": {"all": {"type": "array"}}}
    names = [f"Person number {number}" for number in range(20)]
    with ScriptedServer(reply(dialect, call_mode, method, json.dumps({"all": names}))) as server:
        chat = dialect.chat(server, chunk_coalescing=False)
        chain = chat.with_structured_output(people, method=method)  # type: ignore[arg-type]
        shown = await result(chain, call_mode)
    assert shown[-1] == {"all": names}
    lengths = [len(one.get("all", ())) for one in shown]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 4


CLOSED = {"additionalProperties": False}


@pytest.mark.parametrize("dialect", [LLAMA3, MISTRAL], ids=["llama3", "mistral"])
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_native_forces_a_call_of_the_schema(dialect: Native, call_mode: str) -> None:
    with ScriptedServer(reply(dialect, call_mode, "function_calling")) as server:
        await result(dialect.chat(server).with_structured_output(PERSON_SCHEMA), call_mode)
    body = server.requests[0].body
    parameters = {
        key: value for key, value in PERSON_SCHEMA.items() if key not in {"title", "description"}
    }
    assert dialect.offered(body) == [
        {"name": "Person", "description": "A person.", "parameters": parameters}
    ]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "tool_call",
            "schema": {
                "type": "object",
                "properties": {"name": {"const": "Person"}, dialect.key: parameters | CLOSED},
                "required": ["name", dialect.key],
                **CLOSED,
            },
        },
    }


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_chat_completions_forces_a_call_of_the_schema(call_mode: str) -> None:
    with ScriptedServer(reply(CHAT, call_mode, "function_calling")) as server:
        await result(CHAT.chat(server).with_structured_output(Person), call_mode)
    body = server.requests[0].body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
    assert [function["name"] for function in CHAT.offered(body)] == ["Person"]
    assert "response_format" not in body


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_json_schema_sends_the_schema_without_tools(dialect: Dialect, call_mode: str) -> None:
    with ScriptedServer(reply(dialect, call_mode, "json_schema")) as server:
        chat = dialect.chat(server)
        await result(chat.with_structured_output(PERSON_SCHEMA, method="json_schema"), call_mode)
    body = server.requests[0].body
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Person", "schema": PERSON_SCHEMA | CLOSED},
    }
    assert dialect.offered(body) == []
    assert not body.keys() & {"tools", "tool_choice"}


@in_every_dialect
async def test_json_mode_sends_the_schema_if_there_is_one(dialect: Dialect) -> None:
    with ScriptedServer(*[reply(dialect, "invoke", "json_mode")] * 2) as server:
        chat = dialect.chat(server)
        chat.with_structured_output(PERSON_SCHEMA, method="json_mode").invoke("Anna is 31.")
        of_any = chat.with_structured_output(None, method="json_mode").invoke("Anna is 31.")
    first, second = (request.body["response_format"] for request in server.requests)
    schema = {"name": "Person", "schema": PERSON_SCHEMA | CLOSED}
    of_schema = {"type": "json_schema", "json_schema": schema}
    assert first == of_schema
    assert (second, of_any) == ({"type": "json_object"}, VALUES)


@in_every_dialect
async def test_strict_is_passed_on(dialect: Dialect) -> None:
    with ScriptedServer(reply(dialect, "invoke", "json_schema")) as server:
        chain = dialect.chat(server).with_structured_output(
            PERSON_SCHEMA, method="json_schema", strict=True
        )
        chain.invoke("Anna is 31.")
    assert server.requests[0].body["response_format"]["json_schema"]["strict"] is True


@in_every_dialect
@by_each_method
@of_each_class
async def test_an_answer_that_is_not_valid_is_an_error_that_names_the_field(
    dialect: Dialect, method: Any, schema: Any
) -> None:
    wrong = '{"name": "Anna", "age": "old"}'
    replies = [
        reply(dialect, call_mode, method, wrong) for call_mode in CALL_MODES for _ in range(2)
    ]
    with ScriptedServer(*replies) as server:
        chat = dialect.chat(server)
        chain = chat.with_structured_output(schema, method=method)
        with_raw = chat.with_structured_output(schema, method=method, include_raw=True)
        for call_mode in CALL_MODES:
            with pytest.raises(OutputParserException, match="age"):
                await result(chain, call_mode)
            last = (await result(with_raw, call_mode))[-1]
            assert last["parsed"] is None
            assert "age" in str(last["parsing_error"])


@in_every_dialect
@by_each_method
@of_each_class
async def test_a_missing_field_is_never_filled_in(
    dialect: Dialect, method: Any, schema: Any
) -> None:
    with ScriptedServer(
        *[reply(dialect, call_mode, method, '{"name": "Anna"}') for call_mode in CALL_MODES]
    ) as server:
        chain = dialect.chat(server).with_structured_output(schema, method=method)
        for call_mode in CALL_MODES:
            with pytest.raises(OutputParserException, match="age"):
                await result(chain, call_mode)


@in_every_dialect
@by_each_method
@of_each_dict
@pytest.mark.parametrize("written", ['{"name": "Anna", "age": "old"}', '{"name": "Anna"}'])
async def test_dicts_are_returned_as_written(
    dialect: Dialect, method: Any, schema: Any, written: str
) -> None:
    with ScriptedServer(
        *[reply(dialect, call_mode, method, written) for call_mode in CALL_MODES]
    ) as server:
        chain = dialect.chat(server).with_structured_output(schema, method=method)
        for call_mode in CALL_MODES:
            assert (await result(chain, call_mode))[-1] == json.loads(written)


@in_every_dialect
@by_each_method
@of_each_kind
async def test_an_answer_that_is_cut_is_an_error_that_says_so(
    dialect: Dialect, method: Any, schema: Any, value: Any
) -> None:
    """Cut JSON is completed only for partial objects: the last digit may be missing."""
    cut: tuple[str, list[ScriptedCall]] = (JSON[: JSON.index("1}")], [])
    if method == "function_calling":
        call = ScriptedCall("Person", JSON)
        written = dialect.written("", [call]) if isinstance(dialect, Native) else JSON
        cut = dialect.begun(call, written.index("1}"))
    with ScriptedServer(
        *[dialect.reply(call_mode, *cut, reason="length") for call_mode in CALL_MODES]
    ) as server:
        # As many tokens as the server counts, so the answer was cut.
        chain = dialect.chat(server, max_tokens=25).with_structured_output(schema, method=method)
        for call_mode in CALL_MODES:
            with pytest.raises(OutputParserException, match="raise max_tokens"):
                await result(chain, call_mode)


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_text_instead_of_a_forced_call_is_an_error(dialect: Dialect, call_mode: str) -> None:
    with ScriptedServer(dialect.reply(call_mode, "Anna is 31.")) as server:
        chain = dialect.chat(server).with_structured_output(Person)
        with pytest.raises(OutputParserException, match="Person"):
            await result(chain, call_mode)


NO_OBJECTS = ["", "Anna", "[]", "3", "null", '{"name": "Anna", "age": NaN}']


@in_every_dialect
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_text_that_is_not_an_object_is_an_error(dialect: Dialect, method: Any) -> None:
    with ScriptedServer(*map(dialect.whole, NO_OBJECTS)) as server:
        chain = dialect.chat(server).with_structured_output(PERSON_SCHEMA, method=method)
        for written in NO_OBJECTS:
            with pytest.raises(OutputParserException) as caught:
                await chain.ainvoke("Anna is 31.")
            assert caught.value.llm_output == written
