"""Progress of a transcription: what is shown, where, and under which name."""

import importlib.util
import io
import os
import pty
import select
import sys
import termios
import threading
from pathlib import Path

import pytest
from support import speech_samples
from support.scripted_server import Gate, Reply, ScriptedServer
from support.transcription_calls import BOUNDS, LONG, PARSES, SHORT, parser_of, transcription_reply

from langchain_voxtral import VoxtralTranscriber
from langchain_voxtral.transcription import progress
from langchain_voxtral.transcription.progress import Progress

needs_tqdm = pytest.mark.skipif(importlib.util.find_spec("tqdm") is None, reason="no tqdm here")


@pytest.fixture(params=[pytest.param(True, marks=needs_tqdm), False], ids=["tqdm", "lines"])
def tqdm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether tqdm is installed."""
    if not request.param:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    return bool(request.param)


@pytest.mark.parametrize("method", PARSES)
def test_progress_is_reported_before_the_first_chunk_and_after_each(method: str) -> None:
    reported: list[Progress] = []
    with ScriptedServer(default=transcription_reply("x")) as server:
        PARSES[method](parser_of(server, chunk_seconds=11, progress=reported.append), LONG)
    assert reported == [
        Progress("the recording", 0, 3, 0.0, 30.0),
        *(
            Progress("the recording", number, 3, end, 30.0)
            for number, (_, end) in enumerate(BOUNDS, 1)
        ),
    ]


@pytest.mark.parametrize("method", PARSES)
def test_totals_are_unknown_until_the_end_of_a_file_that_states_no_length(method: str) -> None:
    flac = speech_samples.encoded("flac streamed", speech_samples.noise(30.0))
    reports: list[Progress] = []
    with ScriptedServer(default=transcription_reply("x")) as server:
        PARSES[method](parser_of(server, chunk_seconds=11, progress=reports.append), flac)
    assert {(each.total, each.duration) for each in reports[:-1]} == {(None, None)}
    assert (reports[-1].done, reports[-1].seconds) == (reports[-1].total, 30.0)
    assert reports[-1].duration == 30.0


@needs_tqdm
def test_the_clock_of_a_bar_ticks_in_a_terminal_until_the_bar_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.001)
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 300))  # without a width there would be no bar
    shown = b""
    with open(inside, "w", encoding="utf-8") as stderr:  # noqa: PTH123 - it has no path
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress.progress_reporter(None) as report:
            report(Progress("talk.mp3", 0, 3, 0.0, 30.0))
            while shown.count(b"0 of 30 s") < 5:  # drawn again, though nothing is reported
                assert select.select([terminal], [], [], 30)[0]
                shown += os.read(terminal, 1 << 16)
    os.close(terminal)
    assert "voxtral-progress" not in {thread.name for thread in threading.enumerate()}


def test_a_bar_without_a_total_counts_seconds(
    tqdm: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes(speech_samples.encoded("flac streamed", speech_samples.noise(30.0)))
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server, chunk_seconds=11, progress=True).parse(path)
    steps = [
        step for step in capfd.readouterr().err.replace("\r", "\n").split("\n") if step.strip()
    ]
    assert steps[0].startswith("talk.flac: 0 s")
    assert steps[-1].startswith("talk.flac: 30 s" if tqdm else "talk.flac: 30 of 30 s")


@pytest.mark.parametrize("progress", [None, False])
def test_without_a_terminal_nothing_is_shown(
    progress: bool | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server, progress=progress).parse(SHORT)
    assert capfd.readouterr() == ("", "")


def test_a_bar_counts_seconds_under_the_files_name(
    tqdm: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(LONG)
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server, chunk_seconds=11, progress=True).parse(path)
    out, err = capfd.readouterr()
    assert out == ""
    assert str(tmp_path) not in err
    steps = [step for step in err.replace("\r", "\n").split("\n") if step.strip()]
    assert all(step.startswith("talk.wav: ") for step in steps)
    assert "0 of 30 s" in steps[0]
    assert "30 of 30 s" in steps[-1]
    if not tqdm:
        assert steps == [f"talk.wav: {second} of 30 s" for second in (0, 10, 20, 30)]


def test_a_bar_is_there_before_the_first_answer(
    tqdm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    class Terminal:
        """Lets the server answer once a bar is shown."""

        def write(self, text: str) -> int:
            if "0 of 2 s" in text and not gate_opened.is_set():
                gate_opened.set()
                gate.open()
            return len(text)

        def flush(self) -> None:
            pass

        def isatty(self) -> bool:
            return True

    gate_opened = threading.Event()
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ScriptedServer(Reply(steps=(gate, transcription_reply("Hello.").body or b""))) as server:
        [made] = parser_of(server).parse(SHORT)
    assert made.page_content == "Hello."


def test_streamed_text_has_no_bar_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        """Records what is shown."""

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server)
        assert [*VoxtralTranscriber(parser).stream(SHORT)] == ["x"]
        assert terminal.getvalue() == ""
        assert VoxtralTranscriber(parser).invoke(SHORT) == "x"
        assert terminal.getvalue() != ""


def test_a_process_without_a_console_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with ScriptedServer(default=transcription_reply("x")) as server:
        for progress in (None, True):
            assert parser_of(server, progress=progress).parse(SHORT) != []


def test_parallel_recordings_have_separate_bars(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for path in paths:
        path.write_bytes(LONG)
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, progress=True, chunk_seconds=11)
        threads = [threading.Thread(target=parser.parse, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(capfd.readouterr().err.splitlines()) == sorted(
        f"{path.name}: {second} of 30 s" for path in paths for second in (0, 10, 20, 30)
    )
