"""Generic classes as tools: their names are sent in a form that servers take, and come back."""

from enum import Enum
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import PydanticToolsParser
from pydantic import BaseModel
from support.call_modes import CALL_MODES
from support.scripted_server import ScriptedServer
from support.tool_calls import get_message
from support.tool_dialects import Dialect, ScriptedCall, in_every_dialect

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralInvalidRequestError

T = TypeVar("T")
URL = "http://127.0.0.1:9"


class Page(BaseModel, Generic[T]):
    """A page of items."""

    items: list[T]


@in_every_dialect
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_calls_of_a_generic_class_have_its_name(dialect: Dialect, call_mode: str) -> None:
    call = ScriptedCall("Page_int", '{"items": [1, 2]}')
    with ScriptedServer(dialect.reply(call_mode, calls=[call])) as server:
        chat = dialect.chat(server).bind_tools([Page[int], Page[str]], tool_choice="Page[int]")
        answer = await get_message(chat, call_mode)
    assert [(one["name"], one["args"]) for one in answer.tool_calls] == [
        ("Page[int]", {"items": [1, 2]})
    ]
    [parsed] = PydanticToolsParser(tools=[Page[int]]).invoke(answer)
    assert parsed == Page[int](items=[1, 2])
    assert "Page[" not in str(server.requests[0].body)


@in_every_dialect
def test_calls_in_a_conversation_are_sent_under_the_same_name(dialect: Dialect) -> None:
    called = AIMessage("", tool_calls=[{"name": "Page[int]", "args": {"items": []}, "id": "a"}])
    conversation = [HumanMessage("?"), called, ToolMessage("Empty.", tool_call_id="a")]
    with ScriptedServer(dialect.whole("None.")) as server:
        dialect.chat(server).bind_tools([Page[int]]).invoke(conversation)
    sent = str(server.requests[0].body)
    assert "Page[" not in sent
    assert sent.count("Page_int") == 2


def test_names_that_become_equal_are_an_error() -> None:
    tools: list[Any] = [
        Page[int],
        {"name": "Page_int", "parameters": {"type": "object", "properties": {}}},
    ]
    with pytest.raises(VoxtralInvalidRequestError, match=r"'Page\[int\]' and 'Page_int' would"):
        ChatVoxtral(base_url=URL).bind_tools(tools).invoke("?")


class Colour(Enum):
    """A colour."""

    RED = "red"


@pytest.mark.parametrize(
    "tool", [Colour, Colour.RED, Enum, list, object, list[int], len, NamedTuple, TypedDict]
)
def test_a_class_that_describes_no_parameters_is_no_tool(tool: Any) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=r"tools\[0\] \(.*\) cannot be offered"):
        ChatVoxtral(base_url=URL).bind_tools([tool])
