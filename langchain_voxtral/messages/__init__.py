"""LangChain messages to turns, the neutral form that every prompt and request is made of."""

from langchain_voxtral.messages.convert import join_turns, merge_turns, to_turn, to_turns
from langchain_voxtral.messages.openai import to_openai
from langchain_voxtral.messages.result_audio import text_as_sent
from langchain_voxtral.messages.turns import AudioPart, Role, ToolCall, Turn

__all__ = [
    "AudioPart",
    "Role",
    "ToolCall",
    "Turn",
    "join_turns",
    "merge_turns",
    "text_as_sent",
    "to_openai",
    "to_turn",
    "to_turns",
]
