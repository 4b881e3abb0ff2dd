"""Count the package's own calls, files and folders that one streamed message passes through.

    python benchmarks/call_path.py [--files]

The second `chat.stream([SystemMessage, HumanMessage])` of a process is traced with
`sys.setprofile` over an `httpx.MockTransport` that sends one event a read. A generator that is
resumed counts as a call. `--files` lists the files in the order in which they are first entered.
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import SecretStr

import langchain_voxtral
from langchain_voxtral import ChatVoxtral

PACKAGE = str(Path(langchain_voxtral.__file__).parent)
TOKENS = ("The", " sea", " is", " calm", " and", " blue", ".")


class Reply(httpx.SyncByteStream):
    """A streamed answer, one event a read."""

    def __iter__(self) -> Iterator[bytes]:
        for number, text in enumerate(TOKENS):
            token = {"id": number, "text": text, "logprob": 0, "special": False}
            event: dict[str, object] = {"token": token, "generated_text": None, "details": None}
            yield f"data: {json.dumps(event)}\n\n".encode()
        token = {"id": 2, "text": "", "logprob": 0, "special": True}
        details = {"finish_reason": "stop", "prompt_tokens": 9, "generated_tokens": 7}
        event = {"token": token, "generated_text": "".join(TOKENS), "details": details}
        yield f"data: {json.dumps(event)}\n\n".encode()


def answer(_: httpx.Request) -> httpx.Response:
    """Answer any request with the stream."""
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Reply())


def main() -> None:
    """Trace the second call and print a row for each stage."""
    client = httpx.Client(transport=httpx.MockTransport(answer))
    chat = ChatVoxtral(api_key=SecretStr("k" * 20), http_client=client)
    messages = [SystemMessage("You are brief."), HumanMessage("Describe the sea.")]
    list(chat.stream(messages))
    stages: list[list[tuple[str, str]]] = [[]]

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            stages[-1].append((code.co_filename[len(PACKAGE) + 1 :], code.co_qualname))

    sys.setprofile(profile)
    for _ in chat.stream(messages):
        stages.append([])  # noqa: PERF401 - the stage begins when the chunk has arrived
    sys.setprofile(None)
    print("stage          calls  functions  files  folders  changes of file")
    for name, calls in (("first chunk", stages[0]), ("each token", stages[2]), ("end", stages[-2])):
        files = [file for file, _ in calls]
        folders = {str(Path(file).parent) for file in files} - {"."}
        places = len(folders) + len({file for file in files if "/" not in file})
        moves = sum(first != second for first, second in pairwise(files))
        row = (len(calls), len(set(calls)), len(set(files)), places, moves)
        print(f"{name:<13}", *(f"{number:>7}" for number in row))
    if "--files" in sys.argv:
        for name, calls in (("first chunk", stages[0]), ("each token", stages[2])):
            print(f"\n{name}")
            for call in calls if name == "each token" else dict.fromkeys(f for f, _ in calls):
                print("  ", *(call if isinstance(call, tuple) else (call,)))


if __name__ == "__main__":
    main()
