"""Tool calls in pieces, as they come from a server or out of a text."""

from dataclasses import dataclass

__all__ = ["ToolCallChunk"]


@dataclass(slots=True)
class ToolCallChunk:
    """A piece of a tool call (not frozen: a stream has many).

    Args:
        index: Which call of the answer this belongs to, from 0.
        id: The call's id, in the part that brings it.
        name: The tool's name, whole, in the part that brings it.
        arguments: JSON text to append to what came before.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
