"""The four ways to ask a model, as one function, so that each behaviour is tested in all."""

from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable

WAYS = ("invoke", "ainvoke", "stream", "astream")


def _text(answer: Any) -> str:
    return answer.text if isinstance(answer, BaseMessage) else str(answer)


async def ask(model: Runnable[Any, Any], way: str, prompt: Any, /, **options: Any) -> str:
    """Ask in the given way; return the text of the answer."""
    method = getattr(model, way)
    if way == "invoke":
        return _text(method(prompt, **options))
    if way == "ainvoke":
        return _text(await method(prompt, **options))
    if way == "stream":
        return "".join(_text(chunk) for chunk in method(prompt, **options))
    return "".join([_text(chunk) async for chunk in method(prompt, **options)])


def sum_of(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """Add up the chunks of a stream, as users do."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
