"""What `transcribe` keeps of recordings that are not finished, on a scripted server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import KEY, LONG, SHORT, transcription_reply

from langchain_voxtral.cli import main
from langchain_voxtral.cli.unfinished import UnfinishedStore

Run = Callable[..., tuple[int, str, list[str]]]
REFUSED = json_reply({"error": {"message": "no"}}, status=400)
# Without times of their own, subtitles are chunks cut at pauses, so that a recording has several.
SUBTITLES = ("--server", "vllm", "--format", "srt")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in a folder with recordings of three chunks and of one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    Path("long.wav").write_bytes(LONG)
    Path("short.wav").write_bytes(SHORT)

    def run_it(server: ScriptedServer, *arguments: str) -> tuple[int, str, list[str]]:
        status = main(["transcribe", "--base-url", server.url, *SUBTITLES, *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err.splitlines()

    return run_it


def kept(folder: str = "cache/transcripts") -> int:
    return len([*Path(folder).glob("voxtral-*")])


def replies(*texts: str) -> list[Reply]:
    return [transcription_reply(text) for text in texts]


@pytest.mark.parametrize(
    ("options", "folder"), [((), "cache/transcripts"), (("--store", "mine"), "mine")]
)
def test_a_run_goes_on_where_it_was_stopped_and_leaves_nothing(
    run: Run, options: tuple[str, ...], folder: str
) -> None:
    with ScriptedServer(*replies("One."), default=REFUSED) as server:
        stopped = run(server, "long.wav", *options)
        left, sent = kept(folder), len(server.requests)
        server.script(*replies("Two.", "Three.", "Four."))
        status, text, lines = run(server, "long.wav", *options)

    chunks = text.count(" --> ")
    assert (stopped[:2], left) == ((1, ""), 1)
    assert chunks > 1
    assert (status, text.count("One.")) == (0, 1)
    assert len(server.requests) - sent == chunks - 1
    assert f"long.wav: 1 of {chunks} chunks were there already." in lines
    assert kept(folder) == 0


def test_what_another_recording_has_left_is_kept(run: Run) -> None:
    with ScriptedServer(*replies("One."), default=REFUSED) as server:
        run(server, "long.wav")
        server.script(*replies("Two."))
        done = run(server, "short.wav")

    assert done[0] == 0
    assert kept() == 1


def test_nothing_is_kept_on_request(run: Run) -> None:
    with ScriptedServer(*replies("One."), default=REFUSED) as server:
        run(server, "long.wav", "--no-store")

    assert not Path("cache").exists()


def test_a_finished_recording_is_transcribed_again(run: Run) -> None:
    with ScriptedServer(*replies("One.", "Two.")) as server:
        texts = [run(server, "short.wav")[1] for _ in range(2)]

    assert ["One." in texts[0], "Two." in texts[1]] == [True, True]


def test_a_store_that_cannot_be_used_is_an_error_if_it_was_asked_for(run: Run) -> None:
    Path("cache").write_text("a file")
    with ScriptedServer(*replies("One.")) as server:
        status, _, lines = run(server, "short.wav", "--store", "short.wav")
        default = run(server, "short.wav")

    problem = "--store: the folder short.wav cannot be made: File exists"
    assert (status, lines) == (2, [f"langchain-voxtral: {problem}"])
    assert default[0] == 0
    assert default[2][0] == (
        f"--store: the folder {Path.cwd() / 'cache' / 'transcripts'} cannot be made: "
        "Not a directory: a run that is stopped will begin anew (--no-store says so)."
    )


def test_several_texts_on_stdout_have_titles(run: Run) -> None:
    with ScriptedServer(*replies("One.", "Two.", "Three.")) as server:
        several = run(server, "short.wav", "./short.wav", "--format", "text", "--quiet")
        single = run(server, "short.wav", "--format", "text", "--quiet")

    assert several == (0, "==> short.wav <==\nOne.\n\n==> ./short.wav <==\nTwo.\n", [])
    assert single == (0, "Three.\n", [])


def test_a_recording_that_failed_keeps_its_chunks_when_the_next_is_finished(tmp_path: Path) -> None:
    store = UnfinishedStore(tmp_path)
    store.begin_recording()
    store.mset([("voxtral-failed", b"One.")])
    store.begin_recording()
    store.mset([("voxtral-finished", b"Two.")])
    store.end_recording()

    assert [*store.yield_keys()] == ["voxtral-failed"]
