"""What a recording costs an agent's state, inline and by reference, with LangChain's own parts.

    PYTHONPATH=tests python benchmarks/recordings_in_state.py [SECONDS]

Prints a row for each part: LangGraph's SqliteSaver, LangChain's counter of tokens,
`trim_messages` and `SummarizationMiddleware` with it, deepagents, a LangSmith trace. The recording
is WAV, mono, 16 kHz, of a minute unless given; no server is called.
"""

import io
import json
import math
import sys
import tempfile
import wave
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.stores import InMemoryByteStore
from langchain_core.tracers import LangChainTracer
from langgraph.checkpoint.sqlite import SqliteSaver
from support.documented_exchanges import Server
from support.strict_servers import ANSWER
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, audio_block

TURNS = 5
RATE = 16_000
QUESTION = {"type": "text", "text": "What is said here?"}
TRANSCRIPT = "It was the best of times, it was the worst of times."


def recording(seconds: int) -> bytes:
    """Return a tone of this length as a WAV file."""
    second = array("h", (int(8000 * math.sin(at / 8)) for at in range(RATE)))
    with io.BytesIO() as file:
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(second.tobytes() * seconds)
        return file.getvalue()


class Column:
    """The measurements for one way to put a recording into a message."""

    def __init__(self, seconds: int, *, by_reference: bool) -> None:
        self._seconds, self._store = seconds, InMemoryByteStore() if by_reference else None
        self.question = self.ask(seconds)

    def ask(self, seconds: int) -> HumanMessage:
        """Return a user's message with a recording of this length."""
        stored: Any = {"store": self._store, "transcript": TRANSCRIPT} if self._store else {}
        return HumanMessage([audio_block(recording(seconds), **stored), QUESTION])

    def chat(self) -> tuple[ChatVoxtral, Server]:
        """Return a model, and the server that it calls."""
        server = Server()
        server.answer = lambda _: httpx.Response(200, json=ANSWER)
        stored: Any = {"audio_store": self._store} if self._store else {}
        settings = {"api_key": "none", "api": "chat_completions", **server.settings, **stored}
        return ChatVoxtral(**settings), server

    def checkpoint_file(self) -> str:
        """Return the size of the checkpoints after some turns."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "checkpoints.sqlite")
            with SqliteSaver.from_conn_string(str(path)) as saver:
                agent: Any = create_agent(self.chat()[0], [], checkpointer=saver)
                for turn in range(TURNS):
                    asked = HumanMessage("And then?") if turn else self.question
                    agent.invoke({"messages": [asked]}, {"configurable": {"thread_id": "1"}})
            return f"{path.stat().st_size:,} bytes"

    def real_tokens(self) -> str:
        """Return the tokens that the model reads."""
        return f"{self.chat()[0].get_num_tokens_from_messages([self.question]):,}"

    def counted_tokens(self) -> str:
        """Return the tokens that LangChain counts."""
        return f"{count_tokens_approximately([self.question]):,}"

    def trimmed(self) -> str:
        """Return what `trim_messages` does to the recording."""
        messages = [self.question, AIMessage("A story."), HumanMessage("And then?")]
        kept = trim_messages(messages, max_tokens=8000, token_counter="approximate")  # noqa: S106
        return "kept" if self.question in kept else "dropped"

    def summarized(self) -> str:
        """Return what is sent when an agent sums up from 4000 tokens on."""
        chat, server = self.chat()
        summing = SummarizationMiddleware(chat, trigger=("tokens", 4000), keep=("messages", 1))
        agent: Any = create_agent(chat, [], middleware=[summing])
        later = [AIMessage("A story."), HumanMessage("And then?")]
        agent.invoke({"messages": [self.question, *later]})
        is_sent = "input_audio" in json.dumps(server.bodies[-1])
        return f"{len(server.bodies)} request(s), the sound is {'sent' if is_sent else 'gone'}"

    def deep_agent(self) -> str:
        """Return what `create_deep_agent` does with the recording."""
        chat, _ = self.chat()
        try:
            create_deep_agent(chat).invoke({"messages": [self.question]})
        except ContextOverflowError as error:
            return type(error).__name__
        return "answers"

    def trace(self) -> str:
        """Return the size of the trace of one call with ten times as much sound."""
        asked = self.ask(10 * self._seconds)
        traces = TraceRecorder()
        chat, _ = self.chat()
        chat.invoke([asked], {"callbacks": [LangChainTracer(client=traces)]})
        return f"{len(traces.everything):,} bytes"


ROWS: dict[str, Callable[[Column], str]] = {
    f"SqliteSaver, {TURNS} turns": Column.checkpoint_file,
    "tokens that the model reads": Column.real_tokens,
    "count_tokens_approximately": Column.counted_tokens,
    "trim_messages(max_tokens=8000)": Column.trimmed,
    'SummarizationMiddleware(trigger=("tokens", 4000))': Column.summarized,
    "create_deep_agent": Column.deep_agent,
    "LangSmith, ten times as long": Column.trace,
}


def main(seconds: int = 60) -> None:
    """Print the table."""
    inline, by_reference = (Column(seconds, by_reference=given) for given in (False, True))
    size = f"{len(recording(seconds)):,}"
    print(f"A recording of {size} bytes\n\n| | inline | by reference |\n| --- | --- | --- |")
    for name, measure in ROWS.items():
        print(f"| {name} | {measure(inline)} | {measure(by_reference)} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
