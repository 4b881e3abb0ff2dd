"""Runnables describe their inputs, outputs and graphs, as servers and drawings ask."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionParser,
    transcribe_audio_tool,
)
from langchain_voxtral.structured_output import Method

URL = "http://127.0.0.1:9"


class Person(BaseModel):
    """A person."""

    name: str


class PersonV1(BaseModelV1):
    """A person."""

    name: str


class PersonDict(TypedDict):
    """A person."""

    name: str


@dataclass
class PersonData:
    """A person."""

    name: str


class Colour(Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


NESTED: dict[str, Any] = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/Name"}},
    "$defs": {"Name": {"type": "string"}},
}
TREE: dict[str, Any] = {
    "title": "Tree",
    "type": "object",
    "properties": {"branches": {"type": "array", "items": {"$ref": "#"}}},
}
TREE_OUTPUT = {
    "type": "object",
    "properties": {
        "branches": {
            "type": "array",
            "items": TREE | {"properties": {"branches": {"type": "array", "items": {}}}},
        }
    },
}
"""References within it are followed once."""
OBJECT = {"type": "object", "properties": {"name": {"type": "string"}}}
SCHEMAS: dict[str, tuple[Any, dict[str, Any]]] = {
    "pydantic": (Person, OBJECT | {"required": ["name"]}),
    "pydantic.v1": (PersonV1, OBJECT | {"required": ["name"]}),
    "a dataclass": (PersonData, OBJECT | {"required": ["name"]}),
    "an enum": (Colour, {"type": "string", "enum": ["red", "blue"]}),
    "a TypedDict": (PersonDict, OBJECT | {"required": ["name"]}),
    "a JSON schema": (NESTED, OBJECT),
    "a recursive JSON schema": (TREE, TREE_OUTPUT),
}
CASES: list[tuple[str, Method]] = [
    *((kind, "function_calling") for kind in SCHEMAS),
    ("a TypedDict", "json_schema"),
    ("pydantic", "json_mode"),
]


def describe(runnable: Runnable[Any, Any]) -> Any:
    """Ask a runnable all that LangServe and LangSmith ask, and return its output's JSON schema."""
    for make_json_schema in (runnable.get_input_jsonschema, runnable.get_config_jsonschema):
        assert isinstance(make_json_schema(), dict)
    for model in (runnable.input_schema, runnable.output_schema, runnable.config_schema()):
        assert issubclass(model, BaseModel)
    assert runnable.get_name()
    assert "graph TD" in runnable.get_graph().draw_mermaid()
    assert runnable.get_graph().to_json(with_schemas=True)["nodes"]
    return runnable.get_output_jsonschema()


def core_of(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references, titles and descriptions."""
    if "$ref" in schema:
        return core_of(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    kept = {key: schema[key] for key in schema.keys() - {"$defs", "title", "description"}}
    if "properties" in kept:
        parts = kept["properties"].items()
        kept["properties"] = {name: core_of(part, definitions) for name, part in parts}
    return kept


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_the_output_of_structured_output_is_described_by_its_schema(
    kind: str, method: Method
) -> None:
    schema, described = SCHEMAS[kind]
    chat = ChatVoxtral(base_url=URL)
    chain = chat.with_structured_output(schema, method=method)
    output = describe(chain)
    assert core_of(output, output.get("$defs", {})) == described
    if kind == "pydantic":
        for variant in (ChatPromptTemplate.from_template("{a}") | chain, chain.with_retry()):
            assert variant.get_output_jsonschema() == output

    with_raw = chat.with_structured_output(schema, method=method, include_raw=True)
    raw = with_raw.get_output_jsonschema()
    assert list(raw["properties"]) == ["raw", "parsed", "parsing_error"]
    parsed, nothing = raw["properties"]["parsed"]["anyOf"]
    assert core_of(parsed, raw["$defs"]) == described
    assert nothing == {"type": "null"}


def test_the_output_of_json_mode_without_a_schema_is_an_object() -> None:
    chat = ChatVoxtral(base_url=URL)
    chain = chat.with_structured_output(None, method="json_mode")
    assert describe(chain)["type"] == "object"
    raw = describe(chat.with_structured_output(None, method="json_mode", include_raw=True))
    assert raw["properties"]["parsed"]["anyOf"] == [{"type": "object"}, {"type": "null"}]


def test_every_other_runnable_describes_itself(tmp_path: Path) -> None:
    chat, llm = ChatVoxtral(base_url=URL), VoxtralLLM(base_url=URL)
    parser = VoxtralTranscriptionParser(base_url=URL)
    runnables: list[tuple[Runnable[Any, Any], str | None]] = [
        (chat, None),
        (chat.bind_tools([Person]), None),
        (chat.bind(stop=["."]).with_fallbacks([chat]), None),
        (llm, "string"),
        (llm.with_retry(), "string"),
        (VoxtralTranscriber(parser), "string"),
        (VoxtralTranscriber(parser, output="documents"), "array"),
        (VoxtralTranscriber(parser) | llm, "string"),
        (transcribe_audio_tool(parser, root=tmp_path), None),
    ]
    assert [describe(one).get("type") for one, _ in runnables] == [kind for _, kind in runnables]
