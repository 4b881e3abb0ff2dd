"""What may be a schema, what answers become, and the names of schemas."""

import json
import math
from collections import namedtuple
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any, Generic, Literal, NamedTuple, Optional, TypedDict, TypeVar

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field, create_model
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.v1 import BaseModel as BaseModelV1
from support.call_modes import CALL_MODES
from support.scripted_models import ScriptedChat, StreamingChat, call_chunks, called, text_chunks
from support.scripted_server import ScriptedServer
from support.tool_dialects import Dialect, ScriptedCall, in_every_dialect

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.structured_output import Method, bind_schema
from langchain_voxtral.tools.names import fit_name
from langchain_voxtral.tools.output_schema import read_schema

METHODS: list[Method] = ["function_calling", "json_schema", "json_mode"]
by_each_method = pytest.mark.parametrize("method", METHODS)
T = TypeVar("T")


class Colour(Enum):
    """A colour of light."""

    RED = "red"
    ROUGE = "red"  # noqa: PIE796 - an alias
    BLUE = "blue"


class Size(StrEnum):
    """A size."""

    L = "l"
    LARGE = "large"


class Rank(IntEnum):
    """A rank."""

    LOW = 1
    HIGH = 2


class Mixed(Enum):
    """Values of several types."""

    NUMBER = 1
    WORD = "one"
    HALF = 0.5
    NOTHING = None


class Access(Flag):
    """What is allowed."""

    READ = 1
    WRITE = 2


@dataclass
class City:
    """A city."""

    name: str
    people: int = 0
    twins: list["City"] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visit to a city."""

    city: City
    day: date | None = None


@pydantic_dataclass
class Price:
    """A price."""

    amount: float = Field(gt=0, description="In euros.")


@dataclass
class Box(Generic[T]):
    """A generic dataclass."""

    content: T


@dataclass
class Sum:
    """A dataclass that can be added."""

    value: int

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.value + other.value)


class Point(NamedTuple):
    """A point of a map."""

    x: int
    y: int = 0


class Line(NamedTuple):
    """A line."""

    points: list[Point]


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - without types, on purpose


class Page(BaseModel, Generic[T]):
    """A generic pydantic class."""

    items: list[T]


OBJECTS: list[tuple[Any, dict[str, Any], Any]] = [
    (Colour, {"value": "red"}, Colour.RED),
    (Size, {"value": "large"}, Size.LARGE),
    (Rank, {"value": 2}, Rank.HIGH),
    (Mixed, {"value": 0.5}, Mixed.HALF),
    (Mixed, {"value": None}, Mixed.NOTHING),
    (Access, {"value": 2}, Access.WRITE),
    (City, {"name": "Rome", "twins": [{"name": "Paris"}]}, City("Rome", 0, [City("Paris")])),
    (
        Visit,
        {"city": {"name": "Rome"}, "day": "2026-01-06"},
        Visit(city=City("Rome"), day=date(2026, 1, 6)),
    ),
    (Price, {"amount": 2.5}, Price(2.5)),
    (Box[int], {"content": 1}, Box(1)),
    (Sum, {"value": 12}, Sum(12)),
    (Point, {"x": 1}, Point(1)),
    (Line, {"points": [[1, 2], {"x": 3}]}, Line([Point(1, 2), Point(3)])),
    (Pair, {"a": 1, "b": "c"}, Pair(1, "c")),
    (Page[int], {"items": [1]}, Page[int](items=[1])),
    (Page[Page[int]], {"items": [{"items": [1]}]}, Page[Page[int]](items=[Page[int](items=[1])])),
]


@pytest.mark.parametrize(("schema", "written", "value"), OBJECTS)
@pytest.mark.parametrize(
    ("method", "include_raw"),
    [("function_calling", False), ("json_schema", True), ("json_mode", False)],
)
async def test_answers_become_objects_of_the_class(
    schema: Any, written: dict[str, Any], value: Any, method: Method, include_raw: bool
) -> None:
    name, text = read_schema(schema).function["name"], json.dumps(written)
    whole, chunks = AIMessage(text), text_chunks(text[:5], text[5:-2], text[-2:])
    if method == "function_calling":
        whole, chunks = called(written, name), call_chunks(text[:5], text[5:], name=name)

    def chain(model: ScriptedChat) -> Any:
        return bind_schema(model, schema, method=method, include_raw=include_raw)

    answers = [
        chain(ScriptedChat(answer=[whole])).invoke("?"),
        await chain(ScriptedChat(answer=[whole])).ainvoke("?"),
        list(chain(StreamingChat(answer=chunks)).stream("?"))[-1],
        [part async for part in chain(StreamingChat(answer=chunks)).astream("?")][-1],
    ]
    if include_raw:
        answers = [answer["parsed"] for answer in answers]
    assert answers == [value] * 4
    assert {type(answer) for answer in answers} == {type(value)}


@in_every_dialect
@by_each_method
async def test_an_enum_is_answered_by_its_value(dialect: Dialect, method: Method) -> None:
    def reply(call_mode: str) -> Any:
        if method == "function_calling":
            return dialect.reply(call_mode, calls=[ScriptedCall("Colour", '{"value": "blue"}')])
        return dialect.reply(call_mode, '{"value": "blue"}')

    with ScriptedServer(*map(reply, CALL_MODES)) as server:
        chain: Any = dialect.chat(server).with_structured_output(Colour, method=method)
        answers = [chain.invoke("Sky?"), await chain.ainvoke("Sky?")]
        answers += [*chain.stream("Sky?"), *[part async for part in chain.astream("Sky?")]]
    assert answers == [Colour.BLUE] * 4


@pytest.mark.parametrize(
    ("schema", "written", "member"),
    [
        (Colour, '"red"', Colour.RED),
        (Size, '```json\n"large"\n```', Size.LARGE),
        (Rank, " 2\n", Rank.HIGH),
        (Mixed, "```\nnull\n```", Mixed.NOTHING),
        (Colour, "blue", Colour.BLUE),
    ],
    ids=["JSON", "fenced", "number", "fenced null", "plain text"],
)
@in_every_dialect
async def test_the_bare_value_of_a_member_is_an_answer(
    dialect: Dialect, schema: Any, written: str, member: Enum
) -> None:
    """So answers a server that ignores what should constrain it."""
    for method in METHODS:
        with ScriptedServer(*[dialect.reply(mode, written) for mode in CALL_MODES]) as server:
            chain: Any = dialect.chat(server).with_structured_output(schema, method=method)
            answers = [chain.invoke("?"), await chain.ainvoke("?")]
            answers += [*chain.stream("?"), *[part async for part in chain.astream("?")]]
        assert answers == [member] * 4


@pytest.mark.parametrize("written", ['"green"', "true", "Red.", "[]", "It is red."])
def test_what_is_no_value_of_a_member_is_no_answer(written: str) -> None:
    chain = bind_schema(ScriptedChat(answer=[AIMessage(written)]), Rank, method="json_schema")
    with pytest.raises(OutputParserException):
        chain.invoke("?")


def test_an_enum_is_sent_as_an_object_with_a_value() -> None:
    assert read_schema(Colour).function == {
        "name": "Colour",
        "description": "A colour of light.",
        "parameters": {
            "type": "object",
            "properties": {"value": {"enum": ["red", "blue"]}},
            "required": ["value"],
        },
    }


def test_a_named_tuple_is_sent_as_an_object_with_its_fields() -> None:
    assert read_schema(Point).function == {
        "name": "Point",
        "description": "A point of a map.",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
            "required": ["x"],
        },
    }


@pytest.mark.parametrize("schema", [Size, Rank, Sum, Point])
def test_what_langchain_would_add_up_is_shown_when_it_is_whole(schema: Any) -> None:
    """`"l"` may yet become `"large"`, and LangChain adds the values of a stream with `+`."""
    texts = {Size: '{"value": "large"}', Rank: '{"value": 1}', Sum: '{"value": 12}'}
    text = texts.get(schema, '{"x": 12}')
    model = StreamingChat(answer=text_chunks(*text))
    [value] = bind_schema(model, schema, method="json_schema").stream("?")
    assert isinstance(value, schema)


def test_partial_objects_of_a_dataclass_are_shown() -> None:
    model = StreamingChat(answer=text_chunks('{"name": "Rome"', ', "people": 2', "1}"))
    chain = bind_schema(model, City, method="json_schema")
    assert list(chain.stream("?")) == [City("Rome"), City("Rome", 2), City("Rome", 21)]


@dataclass
class Odd:
    """A dataclass that takes odd numbers only."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2 == 0:
            raise ArithmeticError("even")


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize(
    ("schema", "written", "message"),
    [
        (Odd, {"number": 2}, r"no Odd: ArithmeticError\('even'\)"),
        (City, {"people": 3}, r"no City: \$\.name: Field required"),
        (Colour, {"value": "green"}, r"no Colour: \$\.value: Input should be 'red'"),
        (Colour, {}, r"no Colour: \$\.value: Field required"),
        (Point, {"x": "left"}, r"no Point: \$\.x: Input should be a valid integer"),
        (Price, {"amount": 0}, r"no Price: \$\.amount: Input should be greater than 0"),
        (Box[int], {"content": "x"}, r"no Box: \$\.content: Input should be a valid integer"),
    ],
)
async def test_an_object_that_cannot_be_made_is_a_parsing_error(
    schema: Any, written: dict[str, Any], message: str, method: Method
) -> None:
    text = json.dumps(written)
    by_call = method == "function_calling"
    name = read_schema(schema).function["name"]
    chunks = call_chunks(text, name=name) if by_call else text_chunks(text)
    chain = bind_schema(StreamingChat(answer=chunks), schema, method=method)
    with pytest.raises(OutputParserException, match=message):
        list(chain.stream("?"))
    whole = ScriptedChat(answer=[called(written, name) if by_call else AIMessage(text)])
    with pytest.raises(OutputParserException, match=message):
        await bind_schema(whole, schema, method=method).ainvoke("?")
    outcome = bind_schema(whole, schema, method=method, include_raw=True).invoke("?")
    assert outcome["parsed"] is None
    assert isinstance(outcome["parsing_error"], OutputParserException)


class WithConstructor:
    """No schema."""

    def __init__(self, name: str) -> None:
        self.name = name


class Callable_(WithConstructor):  # noqa: N801
    """Can be called, but is no function."""

    def __call__(self, name: str) -> str:
        return name


class Planet(Enum):
    """Mass and radius."""

    EARTH = (1.0, 2.0)


class Holiday(Enum):
    """A date."""

    EPIPHANY = date(2026, 1, 6)


class Limit(Enum):
    """A limit."""

    NONE = math.inf


NO_SCHEMAS: dict[str, Any] = {
    **{kind.__name__: kind for kind in (list, dict, int, str, tuple, object, type, ValueError)},
    "print": print,
    "NamedTuple": NamedTuple,
    "TypedDict": TypedDict,
    "Any": Any,
    "BaseModel": BaseModel,
    "BaseModel of pydantic.v1": BaseModelV1,
    "an instance": City("Rome"),
    "a member": Colour.RED,
    "a list of a class": list[City],
    "list of classes": [City],
    "a union": City | Visit,
    "an optional class": Optional[City],  # noqa: UP045 - another type than City | None
    "a literal": Literal["red", "blue"],
    "a lambda": lambda name: name,
    "a class with a constructor": WithConstructor,
    "a callable": Callable_("x"),
    "a module": json,
    "a name": "City",
    "an empty dict": {},
    "a dict of something else": {"red": 1},
    "a dict of properties": {"name": {"type": "string"}},
    "an empty enum": Enum("Empty", ""),
    "an enum of tuples": Planet,
    "an enum of dates": Holiday,
    "an enum of what JSON lacks": Limit,
    "a field that is no schema": dataclass(type("Odd", (), {"__annotations__": {"a": Callable_}})),
}


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("schema", NO_SCHEMAS.values(), ids=NO_SCHEMAS)
def test_what_is_no_schema_is_refused_before_anything_is_sent(schema: Any, method: Method) -> None:
    chat = ChatVoxtral(base_url="http://127.0.0.1:9")
    with pytest.raises(VoxtralInvalidRequestError, match=r"^schema \(.*\) cannot be"):
        chat.with_structured_output(schema, method=method)


def test_the_error_names_what_is_no_schema_and_what_is_one() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        bind_schema(ScriptedChat(answer=[]), list[int], method="json_schema")
    assert caught.value.message == (
        "schema (list) cannot be offered to the model: list[int] is no schema of an object. Give "
        "a pydantic class, a dataclass, a NamedTuple, an Enum, a TypedDict, a function, or a dict "
        "with a JSON schema. A list, a union or a single value can be a field of a class."
    )


# Names


def titled(title: str) -> type[BaseModel]:
    return create_model("Titled", __config__={"title": title}, name=(str, ...))


NAME_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}
NAMES: list[tuple[Any, str]] = [
    (Page[int], "Page_int"),
    (Page[list[int]], "Page_list_int"),
    (Page[Page[dict[str, int]]], "Page_Page_dict_str_int"),
    (titled("A person"), "A_person"),
    (titled("Größe (m)"), "Gro_e_m"),
    (titled("x" * 65), "x" * 64),
    (titled("any"), "any_"),
    (NAME_SCHEMA, "response"),
    (NAME_SCHEMA | {"title": ""}, "response"),
    (NAME_SCHEMA | {"title": "人"}, "response"),
    (NAME_SCHEMA | {"title": "none"}, "none_"),
    ({"name": "get person", "parameters": NAME_SCHEMA}, "get_person"),
    ({"parameters": NAME_SCHEMA}, "response"),
    ({"type": "function", "function": {"parameters": NAME_SCHEMA}}, "response"),
    ({"name": "a person", "schema": NAME_SCHEMA}, "a_person"),
    ({"type": "json_schema", "json_schema": {"name": "p", "schema": NAME_SCHEMA}}, "p"),
    (NAME_SCHEMA | {"name": "a person"}, "a_person"),
    (NAME_SCHEMA | {"title": "Person", "type": ["object"]}, "Person"),
]


@pytest.mark.parametrize(("schema", "name"), NAMES)
def test_a_schema_is_sent_under_a_name_that_servers_accept(schema: Any, name: str) -> None:
    is_page = isinstance(schema, type) and issubclass(schema, Page)
    values: dict[str, Any] = {"items": []} if is_page else {"name": "Anna"}
    calling = ScriptedChat(answer=[called(values, name)])
    writing = ScriptedChat(answer=[AIMessage(json.dumps(values))])
    answers = [
        bind_schema(calling, schema, method="function_calling").invoke("?"),
        bind_schema(writing, schema, method="json_schema").invoke("?"),
    ]
    [options], [written] = calling.calls, writing.calls
    function = options["tools"][0]["function"]
    assert (function["name"], options["tool_choice"]) == (name, name)
    assert function["parameters"]["properties"].keys() == values.keys()
    assert written["response_format"]["json_schema"]["name"] == name
    for answer in answers:
        assert (answer if isinstance(answer, dict) else answer.model_dump()) == values
        assert type(answer) is (schema if isinstance(schema, type) else dict)


@in_every_dialect
def test_a_generic_class_is_called_by_a_name_that_fits(dialect: Dialect) -> None:
    with ScriptedServer(
        dialect.whole(calls=[ScriptedCall("Page_int", '{"items": [1]}')])
    ) as server:
        answer = dialect.chat(server).with_structured_output(Page[int]).invoke("?")
        [body] = [request.body for request in server.requests]
    assert answer == Page[int](items=[1])
    assert [function["name"] for function in dialect.offered(body)] == ["Page_int"]


@pytest.mark.parametrize("name", ["Person", "_Private", "get-person", "x" * 64, "9"])
def test_a_name_that_fits_is_kept(name: str) -> None:
    assert fit_name(name) == name


def test_a_function_may_be_a_schema() -> None:
    def book(city: str, nights: int = 1) -> None:
        """Book a room."""

    function: Any = book
    chain = bind_schema(ScriptedChat(answer=[called({"city": "Rome"}, "book")]), function)
    assert chain.invoke("?") == {"city": "Rome"}
