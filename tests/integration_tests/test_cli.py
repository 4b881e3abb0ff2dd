"""The command with the embedded engine; as a process of its own where that matters."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support import speech_samples
from support.reference_transcripts import TRANSCRIPTS, TRANSLATIONS, word_errors
from support.speech_samples import FRENCH

from langchain_voxtral.cli import main
from langchain_voxtral.local import LocalVoxtral

COMMAND = [sys.executable, "-m", "langchain_voxtral"]
KEYS = ("DEEPINFRA_API_TOKEN", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN", "VOXTRAL_BASE_URL")
Call = Callable[..., subprocess.CompletedProcess[str]]
NO_KEY = "No DeepInfra key is set: the embedded engine answers.\n"


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in KEYS} | more


def run(*arguments: str, env: dict[str, str] | None = None) -> Any:
    return subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        env=env or environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def served(local_server: LocalVoxtral) -> dict[str, str]:
    """An environment in which `local_server` is the configured server."""
    return environment(VOXTRAL_BASE_URL=local_server.base_url, VOXTRAL_API_KEY=local_server.api_key)


@pytest.fixture
def call(
    served: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run the command in this process, which saves the start of another."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    for name in ("VOXTRAL_BASE_URL", "VOXTRAL_API_KEY"):
        monkeypatch.setenv(name, served[name])

    def run_main(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run_main


def test_without_a_key_the_embedded_engine_answers_and_stderr_says_so() -> None:
    done = run("chat", "What is the capital of France?", "--temperature", "0")

    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")
    assert done.stderr.startswith(NO_KEY)
    assert "SmolLM2-135M-Instruct" in done.stderr


def test_a_named_server_answers_and_stderr_names_it(
    served: dict[str, str], local_server: LocalVoxtral
) -> None:
    done = run("chat", "What is the capital of France?", "--temperature", "0", env=served)

    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")
    assert done.stderr == (f"Asking mistralai/Voxtral-Mini-3B-2507 at {local_server.base_url}.\n")


def test_json_is_one_line_with_text_usage_cost_and_timing(call: Call) -> None:
    done = call("chat", "--json", "--temperature", "0", text="What is the capital of France?\n")

    report = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert report.pop("seconds") >= report.pop("seconds_to_first_token") > 0
    assert report.pop("request_id")
    assert report == {
        "text": "The capital of France is Paris.",
        "model": "SmolLM2-135M-Instruct",
        "provider": "deepinfra",
        "finish_reason": "stop",
        "usage": {"input_tokens": 36, "output_tokens": 8, "total_tokens": 44},
        "cost": 0.0,
    }


def test_stop_sequences_and_a_system_message_reach_the_model(call: Call) -> None:
    stopped = call("chat", "What is the capital of France?", "--temperature", "0", "--stop", " is")
    system = call("chat", "Hi", "--json", "--system", "You are a parrot.", "--max-tokens", "3")
    plain = call("chat", "Hi", "--json", "--max-tokens", "3")

    assert stopped.stdout == "The capital of France\n"
    assert json.loads(system.stdout)["usage"] != json.loads(plain.stdout)["usage"]


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["chat"], "there is nothing to ask"),
        (["chat", "Hi", "--temperature", "-1"], "temperature"),
        (["chat", "Hi", "--server", "mistral", "--base-url", "x"], "like 'https://api.mistral.ai"),
        (["chat", "Hi", "--model", "nobody/nothing"], "model"),
    ],
)
def test_errors_go_to_stderr(call: Call, arguments: list[str], output: str) -> None:
    done = call(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert output in done.stderr


def test_an_error_ends_the_process_without_a_traceback() -> None:
    done = run("serve", "--host", "192.0.2.1", "--api-key", "")

    assert (done.returncode, done.stdout) == (1, "")
    assert "api_key" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_during_an_answer_ends_the_command_cleanly(served: dict[str, str]) -> None:
    with started("chat", "Write a very long story.", "--max-tokens", "3000", env=served) as command:
        assert command.stdout.read(1)
        command.send_signal(signal.SIGINT)
        rest, errors = command.communicate(timeout=60)

    assert command.returncode == 130
    assert "Traceback" not in rest + errors


def test_a_closed_pipe_ends_the_command_cleanly(served: dict[str, str]) -> None:
    with started("chat", "Write a very long story.", "--max-tokens", "3000", env=served) as command:
        assert command.stdout.read(1)
        command.stdout.close()
        errors = command.stderr.read()
        command.wait(timeout=60)

    assert command.returncode == 0
    assert "Traceback" not in errors


def test_a_conversation_remembers_earlier_turns(served: dict[str, str]) -> None:
    terminal, inside = pty.openpty()
    with started("chat", "--temperature", "0", stdin=inside, env=served) as command:
        os.close(inside)
        os.write(terminal, b"My dog is called Rex.\nWhat is my dog called?\n\x04")
        output, errors = command.communicate(timeout=120)
    os.close(terminal)

    assert command.returncode == 0
    assert output.count("> ") == 3
    assert "Rex" in output.split("> ")[2]
    assert "Traceback" not in errors


def test_serve_prints_its_address_answers_there_and_ends_on_ctrl_c(call: Call) -> None:
    with started("serve", "--port", "0", env=environment()) as command:
        lines = iter(command.stdout.readline, "")
        address = next(line for line in lines if "VOXTRAL_BASE_URL=" in line)
        url = address.split("VOXTRAL_BASE_URL=")[1].split()[0]
        asked = call(
            "chat", "What is the capital of France?", "--temperature", "0", "--base-url", url
        )
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=60)

    assert asked.stdout == "The capital of France is Paris.\n"
    assert (command.returncode, "Traceback" in errors) == (0, False)


def test_without_a_key_the_embedded_engine_transcribes_a_pipe_within_a_budget() -> None:
    stdin = "/dev/stdin" if Path("/dev/stdin").exists() else "-"
    done = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, "transcribe", stdin, "--max-cost", "0"],
        input=speech_samples.JFK.read_bytes(),
        env=environment(),
        capture_output=True,
        check=False,
        timeout=120,
    )

    *start, language, cost = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert word_errors(TRANSCRIPTS[speech_samples.JFK], done.stdout.decode()).wer == 0
    assert start == [
        "No DeepInfra key is set: the embedded engine answers.",
        "Embedded engine: whisper-base transcribes; it is not Voxtral",
    ]
    assert language.startswith(f"{stdin}: English (detected, probability ")
    assert cost == "1 recording, 11.0 s of audio, free of charge"


def test_a_translation_has_the_times_of_its_words_in_json(call: Call) -> None:
    options = ("--translate", "--language", "fr", "--endpoint", "native")
    done = call("transcribe", *options, "--format", "json", "--timestamps", "word", str(FRENCH))

    report = json.loads(done.stdout)
    words = report.pop("words")
    [segment] = report.pop("segments")
    assert word_errors(TRANSLATIONS[FRENCH], report["text"]).wer < 0.2
    assert "".join(word["word"] for word in words) == report["text"].replace(" ", "")
    assert segment["text"] == report["text"]
    assert (segment["start"], segment["end"]) == (words[0]["start"], words[-1]["end"])
    facts = {"task": "translate", "language": "fr", "language_source": "asked", "duration": 3.9}
    assert report.items() >= facts.items()
    asking, cost = done.stderr.splitlines()
    assert asking.startswith("Asking ")
    assert cost == "1 recording, 3.9 s of audio, free of charge"


def test_ctrl_c_during_a_transcription_ends_the_command_cleanly(served: dict[str, str]) -> None:
    with started("transcribe", str(speech_samples.talk()), env=served) as command:
        assert command.stderr.readline().startswith("Asking ")
        command.send_signal(signal.SIGINT)
        output, errors = command.communicate(timeout=60)

    assert (command.returncode, output) == (130, "")
    assert "Traceback" not in errors


def test_in_a_terminal_a_progress_bar_is_shown_unless_quiet(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 300))  # without a width there would be no bar
    with open(inside, "w", encoding="utf-8") as stderr:  # noqa: PTH123 - it has no path
        monkeypatch.setattr(sys, "stderr", stderr)
        call("transcribe", "--quiet", str(speech_samples.JFK))
        print("END OF QUIET", file=stderr, flush=True)
        call("transcribe", str(speech_samples.JFK))
    shown = b""
    with suppress(OSError):  # the end, since nobody can write any more
        while part := os.read(terminal, 1 << 16):
            shown += part
    os.close(terminal)

    assert shown.startswith(b"END OF QUIET")
    assert b"jfk.flac: 100%" in shown


@contextmanager
def started(*arguments: str, env: dict[str, str], stdin: int = subprocess.DEVNULL) -> Iterator[Any]:
    command: Any = subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
    )
    try:
        yield command
    finally:
        command.kill()
        command.wait()
        for stream in (command.stdout, command.stderr):
            stream.close()
