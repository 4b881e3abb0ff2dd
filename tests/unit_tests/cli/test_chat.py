"""The command `langchain-voxtral chat`, on a scripted server and with a real stdin."""

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import events, final, json_reply, streamed, token

from langchain_voxtral.cli import main, stdin
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES
from langchain_voxtral.providers.addresses import BASE_URL_VARIABLE

MODEL = "mistralai/Voxtral-Mini-3B-2507"
CUT = final(details={"finish_reason": "length"}, num_output_tokens=5)


class Done(NamedTuple):
    """The result of a command: exit status, stdout, stderr."""

    status: Any
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `chat` on a server; `piped` is what stdin brings, None a pipe that nobody closes."""
    with ExitStack() as stack:

        def run_it(server: ScriptedServer, *arguments: str, piped: bytes | None = b"") -> Done:
            reading, writing = os.pipe()
            monkeypatch.setattr(sys, "stdin", stack.enter_context(os.fdopen(reading)))
            if piped is None:
                stack.callback(os.close, writing)
            else:
                os.write(writing, piped)
                os.close(writing)
            try:
                status: Any = main(["chat", "--base-url", server.url, *arguments])
            except SystemExit as ended:
                status = ended.code
            return Done(status, *capsys.readouterr())

        yield run_it


def prompt_of(server: ScriptedServer) -> str:
    [seen] = server.requests
    return str(seen.body["input"])


@pytest.mark.parametrize(
    ("arguments", "piped", "asked"),
    [
        (["Who", "owes money?"], b"Anna owes Bob.\n", "Who owes money?\n\nAnna owes Bob."),
        (["Who owes money?"], b"", "Who owes money?"),
        (["Who owes money?"], b" \n", "Who owes money?"),
        ([], b"Who owes money?\n", "Who owes money?"),
        ([], b"\xef\xbb\xbfWho owes money?\r\n", "Who owes money?"),
    ],
)
def test_what_is_piped_in_is_added_below_the_prompt(
    run: Run, arguments: list[str], piped: bytes, asked: str
) -> None:
    with ScriptedServer(streamed("Anna.")) as server:
        done = run(server, *arguments, piped=piped)

    assert done == (0, "Anna.\n", f"Asking {MODEL} at {server.url}.\n")
    assert f"\n\n{asked}<|eot_id|>" in prompt_of(server)


def test_a_closed_stdin_adds_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(streamed("Hi.")) as server:
        monkeypatch.setattr(sys, "stdin", None)
        status = main(["chat", "Hello", "--base-url", server.url])

    assert status == 0
    assert "Hello<|eot_id|>" in prompt_of(server)


def test_a_pipe_that_brings_nothing_does_not_hang_a_prompt(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "NOTICE_SECONDS", 0)
    monkeypatch.setattr(stdin, "PATIENCE_SECONDS", 0)
    with ScriptedServer(streamed("Hi.")) as server:
        done = run(server, "Hello", piped=None)

    assert done == (
        0,
        "Hi.\n",
        (
            "Waiting for stdin. (`< /dev/null` says that there is nothing.)\n"
            "Nothing came on stdin within 0 s: the PROMPT is asked alone.\n"
            f"Asking {MODEL} at {server.url}.\n"
        ),
    )


def test_a_pipe_that_is_no_text_is_an_error(run: Run) -> None:
    with ScriptedServer() as server:
        done = run(server, "Hello", piped=b"ab\xff")

    assert done == (2, "", "langchain-voxtral: stdin is not text in UTF-8 (byte 2)\n")
    assert server.requests == []


def test_a_stdin_that_cannot_be_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unconnected = socket.socket()
    with ScriptedServer() as server, os.fdopen(unconnected.detach()) as unreadable:
        monkeypatch.setattr(sys, "stdin", unreadable)
        status = main(["chat", "Hello", "--base-url", server.url])

    assert status == 2
    reason = os.strerror(errno.ENOTCONN)
    assert capsys.readouterr() == ("", f"langchain-voxtral: stdin cannot be read: {reason}\n")
    assert server.requests == []


def test_a_stdin_that_is_not_open_for_reading_adds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`nohup` opens it so."""
    descriptor = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    with ScriptedServer(streamed("Hi.")) as server, os.fdopen(descriptor) as only_written:
        monkeypatch.setattr(sys, "stdin", only_written)
        status = main(["chat", "Hello", "--base-url", server.url, "--quiet"])

    assert (status, *capsys.readouterr()) == (0, "Hi.\n", "")
    assert "Hello<|eot_id|>" in prompt_of(server)


def test_a_pipe_that_does_not_block_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    text = "Anna owes Bob. " * 20_000  # more than a pipe holds
    with (
        ThreadPoolExecutor(1) as pool,
        ScriptedServer(streamed("Anna.")) as server,
        os.fdopen(reading) as piped,
    ):
        monkeypatch.setattr(sys, "stdin", piped)
        pool.submit(_write_all, writing, text.encode())
        # A model whose context is not known.
        status = main(["chat", "Who?", "--base-url", server.url, "--model", "own", "--quiet"])

    assert (status, *capsys.readouterr()) == (0, "Anna.\n", "")
    assert f"Who?\n\n{text.strip()}<|eot_id|>" in prompt_of(server)


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def test_notices_do_not_stand_among_answers_where_stderr_is_closed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with ScriptedServer(streamed("Hi.")) as server:
        done = run(server, "Hello")

    assert (done.status, done.out) == (0, "Hi.\n")


def test_an_answer_is_cut_at_a_default_that_is_named(run: Run) -> None:
    at_limit = events(token("Once"), final(details={"finish_reason": "length"}), headers={})
    with ScriptedServer(at_limit, events(token("Once"), CUT), at_limit) as server:
        default = run(server, "Tell a story", "--max-tokens", "25")
        context = run(server, "Tell a story")
        quiet = run(server, "Tell a story", "--max-tokens", "25", "--quiet")

    asking = f"Asking {MODEL} at {server.url}.\n"
    assert default.err == (
        f"{asking}The answer is cut after 25 tokens: --max-tokens sets the limit.\n"
    )
    assert context.err == (
        f"{asking}The answer is cut after 5 tokens: the context of the model is full.\n"
    )
    assert quiet == (0, "Once\n", "")
    limits = [seen.body["max_new_tokens"] for seen in server.requests]
    assert limits == [25, 1024, 25]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--temperature", "-1"], "--temperature: '-1' is no number from 0 to 100"),
        (["--temperature", "nan"], "--temperature: 'nan' is no number from 0 to 100"),
        (["--max-tokens", "0"], "--max-tokens: '0' is no whole number from 1 to 1000000"),
        (["--max-tokens", "1.5"], "--max-tokens: '1.5' is no whole number from 1 to 1000000"),
        (["--stop", ""], "--stop: an empty text would end every answer at once"),
        (["--model", " "], "--model: it is empty"),
        (["--system", ""], "--system: it is empty"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (
            ["--temprature=0"],
            "unrecognized arguments: --temprature=0; did you mean --temperature?",
        ),
    ],
)
def test_wrong_values_are_one_line_that_names_the_flag(
    run: Run, arguments: list[str], problem: str
) -> None:
    with ScriptedServer() as server:
        done = run(server, "Hello", *arguments)

    line = f"langchain-voxtral: {problem} (see langchain-voxtral chat --help)\n"
    assert done == (2, "", line)
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([""], "PROMPT is empty"),
        ([], "there is nothing to ask: give a PROMPT or pipe one in"),
        (["Hi", *["--stop=x"] * 17], "--stop can be given 16 times at most"),
        (
            ["Hi", "--base-url", "https://api.mistral.ai/v1"],
            (
                "--base-url: --server deepinfra needs the address of DeepInfra up to /v1, like "
                "--base-url https://api.deepinfra.com/v1; 'https://api.mistral.ai/v1' is "
                "Mistral's: pass --server mistral"
            ),
        ),
        (
            ["Hi", "--base-url", "http://me:secret@127.0.0.1/v1"],
            "--base-url: a password in the URL would show in logs; set it as VOXTRAL_API_KEY",
        ),
    ],
)
def test_arguments_are_checked_before_anything_starts(
    run: Run, arguments: list[str], problem: str
) -> None:
    with ScriptedServer() as server:
        assert run(server, *arguments) == (2, "", f"langchain-voxtral: {problem}\n")

    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            json_reply({"error": "no base_url= here"}, status=401),
            (
                "The server does not accept the API key: set its environment variable (for "
                "DeepInfra DEEPINFRA_API_TOKEN, for Mistral MISTRAL_API_KEY, for OpenRouter "
                "OPENROUTER_API_KEY, for any other server VOXTRAL_API_KEY). The server said: "
                '"no base_url= here" '
                "(status 401)"
            ),
        ),
        (
            json_reply({"error": "input length 9 exceeds 8"}, status=400),
            (
                "The prompt, with the tokens asked for, is longer than the context of the model "
                f"'{MODEL}': shorten the conversation or lower --max-tokens. "
                'The server said: "input length 9 exceeds 8" (status 400)'
            ),
        ),
        (
            events(token("Half"), token(" an")),
            "The stream ended before its final event, after 2 tokens. The answer is not whole.",
        ),
    ],
)
def test_advice_names_flags_and_leaves_what_the_server_said(
    run: Run, reply: Reply, message: str
) -> None:
    with ScriptedServer(default=reply) as server:
        done = run(server, "Hello", "--quiet")

    assert done.status == 1
    assert done.err.strip() == f"langchain-voxtral: {message}"


def test_a_missing_engine_is_reported_before_it_is_announced(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)  # as if it were not installed
    with ScriptedServer() as server:
        chosen = run(server, "Hello", "--base-url", "local")

    problem = 'the embedded engine is not installed: pip install "langchain-voxtral[local]"'
    assert chosen == (1, "", f"langchain-voxtral: {problem}\n")


def test_without_engine_and_key_both_ways_to_go_on_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*DEEPINFRA_KEY_VARIABLES, BASE_URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setattr(sys, "stdin", None)

    assert main(["chat", "Hello"]) == 1
    assert capsys.readouterr().err == (
        'langchain-voxtral: the embedded engine is not installed: pip install "langchain-voxtral'
        '[local]"; or set DEEPINFRA_API_TOKEN, and DeepInfra is asked\n'
    )
