"""The command with the embedded engine; as a process of its own where that matters."""

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
GREEDY = ("--temperature", "0", "--seed", "1")
"""What gives the same text whatever the engine was asked before: a seed has a prompt read whole."""
NO_KEY = (
    "No DeepInfra key is set. Embedded engine: SmolLM2-135M-Instruct answers; it is not Voxtral.\n"
)


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
    served: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    """Run the command in this process, which saves the start of another."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    for name in ("VOXTRAL_BASE_URL", "VOXTRAL_API_KEY"):
        monkeypatch.setenv(name, served[name])

    def run_main(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "stdin").write_text(text)
        with (tmp_path / "stdin").open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run_main


def test_without_a_key_the_embedded_engine_answers_and_stderr_says_so() -> None:
    done = run("chat", "What is the capital of France?", "--temperature", "0")

    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")
    assert done.stderr == NO_KEY


def test_quiet_is_quiet() -> None:
    done = run("chat", "What is the capital of France?", "--temperature", "0", "--quiet")

    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")
    assert done.stderr == ""


def test_a_named_server_answers_and_stderr_names_it(
    served: dict[str, str], local_server: LocalVoxtral
) -> None:
    done = run("chat", "What is the capital of France?", *GREEDY, env=served)

    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n")
    assert done.stderr == (f"Asking mistralai/Voxtral-Mini-3B-2507 at {local_server.base_url}.\n")


def test_json_is_one_line_with_text_usage_cost_and_timing(call: Call) -> None:
    done = call("chat", "--json", *GREEDY, text="What is the capital of France?\n")

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
    stopped = call("chat", "What is the capital of France?", *GREEDY, "--stop", " is")
    system = call("chat", "Hi", "--json", "--system", "You are a parrot.", "--max-tokens", "3")
    plain = call("chat", "Hi", "--json", "--max-tokens", "3")

    assert stopped.stdout == "The capital of France\n"
    assert json.loads(system.stdout)["usage"] != json.loads(plain.stdout)["usage"]


def test_errors_go_to_stderr(call: Call) -> None:
    done = call("chat", "Hi", "--model", "nobody/nothing")

    assert (done.returncode, done.stdout) == (1, "")
    asking, error = done.stderr.splitlines()
    assert asking.startswith("Asking nobody/nothing at ")
    assert error.startswith(
        "langchain-voxtral: The embedded engine does not have the model 'nobody/nothing': leave "
        '--model out, and SmolLM2-135M-Instruct answers. The server said: "Model not found"'
    )


def test_an_error_ends_the_process_without_a_traceback() -> None:
    done = run("serve", "--host", "192.0.2.1", "--api-key", "")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "langchain-voxtral: --host 192.0.2.1 would let other machines use the engine: "
        "give --api-key, or serve on 127.0.0.1.\n"
    )


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
        "No DeepInfra key is set. Embedded engine: whisper-base transcribes; it is not Voxtral."
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
    talk = str(speech_samples.talk())
    with started("transcribe", "--no-store", talk, env=served) as command:
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
