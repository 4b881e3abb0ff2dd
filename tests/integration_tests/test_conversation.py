"""The command's conversation, as a process in a terminal of its own."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from support.scripted_server import Gate, ScriptedServer
from support.sse_replies import events, final, streamed, token
from support.transcription_calls import KEY

IN_TERMINAL = """\
import os, sys
from langchain_voxtral.cli import main

os.close(os.open(os.ttyname(0), os.O_RDWR))  # Ctrl-C reaches who has the terminal
sys.exit(main())
"""
SEEN = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", re.DOTALL)
PROMPT = "\n> "
TIMEOUT_SECONDS = 60.0
"""Seconds after which a test that waits fails instead of hanging."""


class Terminal:
    """A command in a terminal: what is typed, and what is shown."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C when the command waits: a signal just before does not wake readline."""
        process = psutil.Process(self.process.pid)
        while process.status() not in {psutil.STATUS_SLEEPING, psutil.STATUS_ZOMBIE}:
            pass
        self.type("\x03")

    def read_until(self, text: str) -> str:
        """Return what is shown up to this text, which is waited for."""
        while text not in self._shown:
            if not select.select([self._descriptor], [], [], TIMEOUT_SECONDS)[0]:
                pytest.fail(f"nothing came after {self._shown!r}")
            try:
                part = os.read(self._descriptor, 1 << 16)
            except OSError:  # nobody can write any more
                pytest.fail(f"{text!r} is not in {self._shown!r}")
            # Without the sequences by which readline switches how pastes arrive.
            shown = re.sub(r"\x1b\[\?2004[hl]\r?", "", part.decode())
            self._shown += shown.replace("\r\n", "\n").replace("\r", "")
        before, _, self._shown = self._shown.partition(text)
        return before

    def end(self) -> int:
        return self.process.wait(timeout=TIMEOUT_SECONDS)


@contextmanager
def conversation(server: ScriptedServer, *arguments: str) -> Iterator[Terminal]:
    descriptor, inside = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", IN_TERMINAL, "chat", "--base-url", server.url, *arguments],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=os.environ | {"VOXTRAL_API_KEY": KEY, "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(inside)
    terminal = Terminal(process, descriptor)
    try:
        terminal.read_until("> ")
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(descriptor)


def turns(server: ScriptedServer) -> list[list[tuple[str, str]]]:
    return [SEEN.findall(str(seen.body["input"])) for seen in server.requests]


def test_a_conversation_remembers_earlier_turns_until_it_is_cleared() -> None:
    with (
        ScriptedServer(streamed("One."), streamed("Two."), streamed("Three.")) as server,
        conversation(server, "--system", "Count.") as terminal,
    ):
        terminal.type("First\n")
        assert terminal.read_until(PROMPT).endswith("First\nOne.")
        terminal.type("Second\n")
        terminal.read_until(PROMPT)
        terminal.type("/clear\n")
        assert terminal.read_until(PROMPT) == "/clear\nThe conversation is forgotten."
        terminal.type("Third\n")
        terminal.read_until(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 0

    system = ("system", "Count.")
    assert turns(server) == [
        [system, ("user", "First")],
        [system, ("user", "First"), ("assistant", "One."), ("user", "Second")],
        [system, ("user", "Third")],
    ]


def test_commands_are_listed_and_unknown_ones_are_not_sent() -> None:
    with ScriptedServer(streamed("A path.")) as server, conversation(server) as terminal:
        terminal.type("/help\n")
        assert "/clear   forget the conversation" in terminal.read_until(PROMPT)
        terminal.type("/nope now\n")
        shown = terminal.read_until(PROMPT)
        assert shown == "/nope now\n/nope is no command: /help lists them."
        terminal.type(" /etc is what?\n")
        assert terminal.read_until(PROMPT).endswith("A path.")
        terminal.type("/exit\n")
        assert terminal.end() == 0

    assert turns(server) == [[("user", "/etc is what?")]]


def test_the_words_that_end_other_programs_end_it_and_are_not_sent() -> None:
    with ScriptedServer(streamed("A way out.")) as server, conversation(server) as terminal:
        terminal.type(" exit\n")
        assert terminal.read_until(PROMPT).endswith("A way out.")
        terminal.type("exit \n\x04")  # Ctrl-D ends it if the word is taken for a question
        assert terminal.end() == 0

    assert turns(server) == [[("user", "exit")]]


def test_ctrl_c_clears_the_line_and_twice_ends_the_conversation() -> None:
    with ScriptedServer(streamed("Yes.")) as server, conversation(server) as terminal:
        terminal.type("Nonsen")
        terminal.read_until("Nonsen")
        terminal.interrupt()
        assert "(Ctrl-C again ends the conversation.)" in terminal.read_until(PROMPT)
        terminal.type("Sense?\n")
        terminal.read_until("Yes.")
        terminal.read_until(PROMPT)
        terminal.interrupt()
        terminal.read_until(PROMPT)
        terminal.interrupt()
        assert terminal.end() == 0

    assert turns(server) == [[("user", "Sense?")]]


def test_ctrl_c_stops_an_answer_and_not_the_conversation() -> None:
    gate = Gate()
    long = events(token("Once"), gate, final())
    with (
        ScriptedServer(long, streamed("Short.")) as server,
        conversation(server, "--quiet") as terminal,
    ):
        terminal.type("Long\n")
        terminal.read_until("Once")
        terminal.interrupt()
        assert "(stopped)" in terminal.read_until(PROMPT)
        gate.open()
        terminal.type("Short\n")
        terminal.read_until("Short.")
        terminal.read_until(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 0
