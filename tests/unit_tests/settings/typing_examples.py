"""Valid code of users; `make lint` runs mypy on it."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import SecretStr

from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralError, VoxtralRateLimitError
from langchain_voxtral.prompts import LLAMA3

chat = ChatVoxtral()
chat = ChatVoxtral(model="x", temperature=0.1, stop=["a"])
chat = ChatVoxtral(
    api_key=SecretStr("key"),
    base_url="local",
    prompt_format=LLAMA3,
    timeout=(1.0, None),
    max_tokens=5,
    top_p=None,
    response_format={"type": "json_object"},
    default_headers={"x-team": "a"},
)
chat = ChatVoxtral(api_key="key", stop="x", timeout=30, default_headers={"x-team": "a"})
chat = ChatVoxtral(api_key=None, stop=None, timeout=(5, 60), base_url=os.getenv("MY_URL"))
llm = VoxtralLLM(model="x", prompt_format="raw", seed=7, api_key="key", stop="x")
parser = VoxtralTranscriptionParser(api_key="key", timeout=30, language="fr")
assert_type(chat.api_key, SecretStr | None)
assert_type(chat.stop, list[str] | None)
assert_type(chat.base_url, str)
assert_type(parser.api_key, SecretStr | None)


class TeamChat(ChatVoxtral):
    """A chat model of a user, with a field more."""

    team: str = "blue"


team_chat = TeamChat(team="red", api_key="key", temperature=0)
assert_type(team_chat.api_key, SecretStr | None)


def whole() -> str:
    answer = chat.invoke("Hello!", stop=["a"], temperature=0.5)
    assert_type(answer, AIMessage)
    usage = answer.usage_metadata
    assert_type(llm.invoke("Hello!"), str)
    return f"{answer.text} ({usage['total_tokens'] if usage else 'unknown'} tokens)"


def streamed() -> Iterator[str]:
    total: AIMessageChunk | None = None
    for chunk in chat.stream([("system", "Be brief."), ("human", "Hello!")]):
        assert_type(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
        yield chunk.text
    yield from llm.stream("Hello!")


async def asynchronously() -> AsyncIterator[str]:
    async with chat as open_chat:
        assert_type(open_chat, ChatVoxtral)
        assert_type(await open_chat.ainvoke("Hello!"), AIMessage)
        async for chunk in open_chat.astream("Hello!"):
            yield chunk.text
    await llm.aclose()


def chained() -> str:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | chat | StrOutputParser()
    answer = chain.invoke({"question": "Hello?"})
    assert_type(answer, str)
    return answer


def careful() -> str:
    try:
        with chat:
            return chat.invoke("Hello!").text
    except VoxtralRateLimitError as error:
        return f"again in {error.retry_after} s"
    except VoxtralError as error:
        return error.partial
