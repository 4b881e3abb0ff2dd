"""Blocks of documents, search results and JSON become text, wherever they stand."""

from base64 import b64encode
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Turn, to_turns

B64 = b64encode("Ärger".encode()).decode()

DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "text-plain": ({"type": "text-plain", "text": "t", "mime_type": "text/plain"}, "t"),
    "text-plain with all": (
        {
            "type": "text-plain",
            "id": "lc_1",
            "text": "t",
            "mime_type": "text/plain",
            "title": "Report",
            "context": "Draft",
            "url": "https://example.com/a.txt",
            "extras": {"filename": "a.txt", "citations": {"enabled": True}},
        },
        "Title: Report\nFile: a.txt\nSource: https://example.com/a.txt\nContext: Draft\n\nt",
    ),
    "text-plain in base64": (
        {"type": "text-plain", "base64": B64, "mime_type": "text/plain", "title": "Report"},
        "Title: Report\n\nÄrger",
    ),
    "a file of text": (
        {"type": "file", "base64": B64, "mime_type": "text/markdown; charset=utf-8"},
        "Ärger",
    ),
    "LangChain's first": (
        {"type": "file", "source_type": "text", "url": "t", "mime_type": "text/plain"},
        "t",
    ),
    "Google's media": ({"type": "media", "mime_type": "text/csv", "data": B64}, "Ärger"),
    "Anthropic's text": (
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "t"},
            "title": "Report",
            "context": "Draft",
            "citations": {"enabled": True},
        },
        "Title: Report\nContext: Draft\n\nt",
    ),
    "Anthropic's content": (
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "u"}],
            },
        },
        "t\nu",
    ),
    "Anthropic's content as text": (
        {"type": "document", "source": {"type": "content", "content": "t"}, "title": None},
        "t",
    ),
    "Cohere's text": (
        {"type": "document", "document": {"id": "doc-1", "data": '{"temperature": "20C"}'}},
        'Id: doc-1\n\n{"temperature": "20C"}',
    ),
    "Cohere's text with a number": (
        {"type": "document", "document": {"id": 0, "data": "t"}},
        "Id: 0\n\nt",
    ),
    "base64 on several lines": (
        {"type": "text-plain", "base64": f"{B64[:4]}\n{B64[4:]}\n", "mime_type": "text/plain"},
        "Ärger",
    ),
    "Cohere's fields": (
        {"type": "document", "document": {"data": {"title": "Penguins", "snippet": "É"}}},
        '{"title": "Penguins", "snippet": "É"}',
    ),
    "search result": (
        {
            "type": "search_result",
            "source": "https://example.com",
            "title": "Cities",
            "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "u"}],
            "citations": {"enabled": True},
        },
        "Title: Cities\nSource: https://example.com\n\nt\nu",
    ),
    "json": (
        {"type": "json", "json": {"city": "Zürich", "n": [1]}},
        '{"city": "Zürich", "n": [1]}',
    ),
    "json as text": ({"type": "json", "json": '{"n":1}'}, '{"n":1}'),
    "output of OpenAI's custom tool": ({"type": "custom_tool_call_output", "output": "t"}, "t"),
    "unknown to LangChain": (
        {"type": "non_standard", "value": {"type": "json", "json": 1}},
        "1",
    ),
}


@pytest.mark.parametrize(("block", "text"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_become_text_in_every_message(block: dict[str, Any], text: str) -> None:
    calls: Any = [{"name": "f", "args": {}, "id": "1"}]
    messages: list[BaseMessage] = [
        SystemMessage([block]),
        HumanMessage([block]),
        AIMessage([block], tool_calls=calls),
        ToolMessage([block], tool_call_id="1"),
    ]
    assert [turn.text for turn in to_turns(messages)] == [text] * 4


def test_a_document_is_apart_from_what_stands_beside_it() -> None:
    document = {"type": "text-plain", "text": "t", "mime_type": "text/plain"}
    assert to_turns([HumanMessage(["See", ": ", document, document, "", "Well", "?"])]) == [
        Turn("user", "See: \n\nt\n\nt\n\nWell?")
    ]


HERE = "messages[0] (user), block 1"
IMAGE = {"type": "image", "url": "https://example.com/a.png"}
UNREADABLE: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "text-plain", "base64": b64encode(b"\xff").decode()},
        (
            f"{HERE}: the file is not UTF-8 text in base64 ('utf-8' codec can't decode byte 0xff "
            "in position 0: invalid start byte): put its text into a text block."
        ),
    ),
    ({"type": "text-plain", "text": 7}, f"{HERE}: the text must be a string, not int."),
    ({"type": "json"}, f"{HERE}: the block of type 'json' has no 'json' in it."),
    (
        {"type": "json", "json": {1}},
        (
            f"JSON cannot express the value of {HERE}: Object of type set is not JSON "
            "serializable. Use strings, numbers, booleans, None, lists, and dicts with string keys."
        ),
    ),
    (
        {"type": "search_result", "content": [{"type": "text", "text": "t"}, IMAGE]},
        (
            f"{HERE}, part 1: a block of type 'image' cannot be sent; the model takes no images: "
            "describe it in a text block."
        ),
    ),
]


@pytest.mark.parametrize(("block", "problem"), UNREADABLE)
def test_a_document_that_cannot_be_read_is_refused_with_its_place(
    block: dict[str, Any], problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([HumanMessage(["See:", block])])
    assert str(raised.value) == problem
