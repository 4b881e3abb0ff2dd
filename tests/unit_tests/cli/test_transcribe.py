"""The command `langchain-voxtral transcribe`, on a scripted server."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import KEY, MODEL, SHORT, form_of, transcription_reply

from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.cli import main
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES

REFUSED = json_reply({"error": {"message": "this sound is not for me"}}, status=400)
PAID = {"inference_status": {"cost": 0.000033}}
SEGMENTS = [{"start": 0.25, "end": 1, "text": " Good"}, {"start": 1, "end": 1.5, "text": " day."}]
TIMED = transcription_reply("Good day.", segments=SEGMENTS, language="en", duration=2.0, **PAID)
SRT = "1\n00:00:00,250 --> 00:00:01,000\nGood\n\n2\n00:00:01,000 --> 00:00:01,500\nday.\n"
VTT = "WEBVTT\n\n00:00:00.250 --> 00:00:01.000\nGood\n\n00:00:01.000 --> 00:00:01.500\nday.\n"

NO_TIMES = "a.wav: the server returned no times, so the text gets those of whole chunks."


class Done(NamedTuple):
    """The result of a command: exit status, stdout, and the lines on stderr."""

    status: int
    out: str
    err: list[str]


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in a folder with `a.wav` and `b.wav`, on a server if one is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    for name in ("a.wav", "b.wav"):
        Path(name).write_bytes(SHORT)

    def run_it(server: ScriptedServer | None, *arguments: str) -> Done:
        if server is not None:
            monkeypatch.setenv("VOXTRAL_BASE_URL", server.url)
        status = main(["transcribe", *arguments])
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err.splitlines())

    return run_it


def test_the_text_is_on_stdout_and_its_language_and_cost_on_stderr(run: Run) -> None:
    told = {"language": "en", "language_source": "detected", "language_probability": 0.9712}
    with ScriptedServer(transcription_reply("Good day.", **told, **PAID)) as server:
        done = run(server, "a.wav")

    assert done == (
        0,
        "Good day.\n",
        [
            f"Asking {MODEL} at {server.url}.",
            "a.wav: English (detected, probability 0.97).",
            "1 recording, 2.0 s of audio, $0.000033 (reported by the server)",
        ],
    )


def test_quiet_leaves_stderr_to_errors(run: Run) -> None:
    with ScriptedServer(transcription_reply("Good day."), REFUSED) as server:
        done = run(server, "--quiet", "a.wav", "b.wav")

    assert (done.status, done.out) == (1, "==> a.wav <==\nGood day.\n")
    [error] = done.err
    assert error.startswith("langchain-voxtral: b.wav: ")


@pytest.mark.parametrize("form", ["text", "srt", "json"])
def test_a_silent_recording_is_named_and_sent_on_request(run: Run, form: str) -> None:
    Path("hall.wav").write_bytes(wav_header(64_000) + bytes(64_000))
    with ScriptedServer(default=transcription_reply("Hello.", **PAID)) as server:
        done = run(server, "hall.wav", "a.wav", "-o", "made", "--format", form)
        sent = run(server, "hall.wav", "--send-silence")

    [written], [other] = Path("made").glob("hall.*"), Path("made").glob("a.*")
    assert done == (
        0,
        "",
        [
            f"Asking {MODEL} at {server.url}.",
            f"hall.wav: no speech was found (silent, so not sent); wrote {written}.",
            *([] if form == "text" else [NO_TIMES]),
            f"a.wav: wrote {other}.",
            "2 recordings, 4.0 s of audio, $0.000033 (reported by the server); 1 without speech",
        ],
    )
    text = written.read_text()
    assert json.loads(text)["no_speech"] is True if form == "json" else text == "\n"
    assert sent.out == "Hello.\n"
    assert len(server.requests) == 2


@pytest.mark.parametrize(("form", "text"), [("text", "\n"), ("srt", "\n"), ("vtt", "WEBVTT\n")])
def test_a_recording_without_speech_is_named_and_no_failure(run: Run, form: str, text: str) -> None:
    with ScriptedServer(default=transcription_reply("", **PAID)) as server:
        done = run(server, "a.wav", "--format", form)
        quiet = run(server, "a.wav", "--format", form, "--quiet")

    assert done == (
        0,
        text,
        [
            f"Asking {MODEL} at {server.url}.",
            "a.wav: no speech was found.",
            "1 recording, 2.0 s of audio, $0.000033 (reported by the server); 1 without speech",
        ],
    )
    assert quiet == (0, text, [])


def test_options_reach_the_server(run: Run) -> None:
    with ScriptedServer(transcription_reply("Bonjour.")) as server:
        run(server, "a.wav", "--language", "fr", "--prompt", "Proust", "--model", "me/mine")

    [seen] = server.requests
    fields, _ = form_of(seen)
    assert seen.path == "/v1/openai/audio/transcriptions"
    assert {("language", "fr"), ("prompt", "Proust"), ("model", "me/mine")} <= set(fields)


def test_translations_use_the_translations_endpoint(run: Run) -> None:
    with ScriptedServer(transcription_reply("Good day.")) as server:
        done = run(server, "--translate", "a.wav")

    assert done.out == "Good day.\n"
    assert [seen.path for seen in server.requests] == ["/v1/openai/audio/translations"]


@pytest.mark.parametrize(("form", "text"), [("srt", SRT), ("vtt", VTT)])
def test_subtitles_are_a_file_of_their_format(run: Run, form: str, text: str) -> None:
    with ScriptedServer(TIMED) as server:
        assert run(server, "--format", form, "a.wav")[:2] == (0, text)


def test_json_is_one_line_with_text_segments_and_metadata(run: Run) -> None:
    with ScriptedServer(TIMED) as server:
        done = run(server, "--format", "json", "a.wav")

    report = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert len(report.pop("sha256")) == 64
    assert report == {
        "text": "Good day.",
        "segments": [
            {"start": 0.25, "end": 1.0, "text": "Good"},
            {"start": 1.0, "end": 1.5, "text": "day."},
        ],
        "source": "a.wav",
        "start": 0.0,
        "end": 2.0,
        "duration": 2.0,
        "n_chunks": 1,
        "chunks_from_store": 0,
        "timestamps_source": "server",
        "language": "en",
        "language_source": "server",
        "model": MODEL,
        "request_id": "id-Good day.",
        "cost": 0.000033,
        "cost_source": "server",
    }


def test_json_has_words_and_speakers_on_request(run: Run) -> None:
    text = "你好。再见。"
    words = [
        {"word": "你好。", "start": 0.25, "end": 0.75, "speaker": "a"},
        {"word": "再见。", "start": 0.75, "end": 1.5, "speaker": "b"},
    ]
    segments = [{"text" if key == "word" else key: one[key] for key in one} for one in words]
    with ScriptedServer(transcription_reply(text, segments=segments, words=words)) as server:
        done = run(server, "--format", "json", "--timestamps", "word", "a.wav")

    report = json.loads(done.out)
    assert (report["words"], report["segments"], report["text"]) == (words, segments, text)


def test_subtitles_name_speakers_on_request(run: Run) -> None:
    segments = [{"start": 0.25, "end": 1.5, "text": "Good day.", "speaker_id": "a"}]
    mistral = ("--server", "mistral", "--speakers", "--format", "srt")
    with ScriptedServer(transcription_reply("Good day.", segments=segments)) as server:
        done = run(None, *mistral, "--base-url", server.url, "a.wav")

    assert done.out == "1\n00:00:00,250 --> 00:00:01,500\na: Good day.\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--timestamps", "word"), "only JSON has times of words: give --format json"),
        (("--speakers",), "plain text names no speakers: give --format srt, vtt or json"),
        (
            ("--timestamps", "segment", "--endpoint", "chat"),
            "--server deepinfra does not return times of segments with --endpoint chat and ",
        ),
    ],
)
def test_times_and_speakers_that_would_not_show_are_an_error_before_anything_is_sent(
    run: Run, arguments: tuple[str, ...], problem: str
) -> None:
    with ScriptedServer() as server:
        done = run(server, *arguments, "a.wav")

    assert (done.out, server.requests) == ("", [])
    assert problem in done.err[-1]


def test_texts_go_to_files_named_after_the_recordings(run: Run) -> None:
    with ScriptedServer(transcription_reply("Ä."), transcription_reply("B.")) as server:
        done = run(server, "a.wav", "b.wav", "-o", "made/texts")

    made = {path.name: path.read_bytes() for path in Path("made/texts").iterdir()}
    assert (done.status, done.out) == (0, "")
    assert made == {"a.txt": "Ä.\n".encode(), "b.txt": b"B.\n"}


def test_a_file_of_an_earlier_run_is_replaced_atomically(run: Run) -> None:
    Path("made").mkdir()
    Path("made/a.txt").write_text("Old.\n")
    with Path("made/a.txt").open() as opened, ScriptedServer(transcription_reply("New.")) as server:
        run(server, "a.wav", "-o", "made")
        assert (
            opened.read() == "Old.\n"
        )  # otherwise a reader, or an interrupted run, could find half a text

    assert Path("made/a.txt").read_text() == "New.\n"


def test_after_a_recording_that_fails_the_others_continue(run: Run) -> None:
    Path("words.mp3").write_text("no sound at all")
    with ScriptedServer(REFUSED, transcription_reply("B.", **PAID)) as server:
        done = run(server, "a.wav", "words.mp3", "missing.wav", "b.wav")

    missing, words, _, refused, cost = done.err
    assert (done.status, done.out) == (1, "==> b.wav <==\nB.\n")
    assert refused.startswith("langchain-voxtral: a.wav: ")
    assert "this sound is not for me" in refused
    assert words.startswith("langchain-voxtral: words.mp3: it is no recording of a known kind")
    assert missing == "langchain-voxtral: missing.wav cannot be read: No such file or directory."
    assert cost == (
        "1 recording, 2.0 s of audio, $0.000033 (reported by the server); "
        "not counted: 3 that failed"
    )


@pytest.mark.parametrize("name", ["missing.wav", "words.mp3", "empty.wav", "https://x.org/a.mp3"])
def test_without_a_recording_nothing_starts(run: Run, name: str) -> None:
    Path("words.mp3").write_text("no sound at all")
    Path("empty.wav").touch()
    with ScriptedServer() as server:
        done = run(server, name)

    assert (done.status, done.out, server.requests) == (1, "", [])
    error, summary = done.err  # and no line says who is asked
    assert error.startswith(f"langchain-voxtral: {name}")
    assert summary == "Nothing was transcribed; not counted: 1 that failed"


def test_an_error_that_affects_all_recordings_ends_the_command(run: Run) -> None:
    with ScriptedServer(default=Reply(status=401, body=b"{}")) as server:
        done = run(server, "a.wav", "b.wav")

    assert done.status == 1
    assert len(server.requests) == 1
    assert done.err[-2] == "Nothing was transcribed; not counted: 1 that failed, 1 not finished"
    assert sum(line.startswith("langchain-voxtral: ") for line in done.err) == 1


def test_unknown_costs_are_not_invented(run: Run) -> None:
    with ScriptedServer(
        transcription_reply("A."), transcription_reply("A.", **PAID), transcription_reply("B.")
    ) as server:
        none_known = run(server, "a.wav")
        one_known = run(server, "a.wav", "b.wav")

    assert none_known.err[-1] == "1 recording, 2.0 s of audio, at a price that is not known"
    assert one_known.err[-1] == (
        "2 recordings, 4.0 s of audio, $0.000033 (reported by the server), "
        "1 recording at a price that is not known"
    )


def test_a_budget_covers_all_recordings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    done = run(None, "a.wav", "b.wav", "missing.wav", "--max-cost", "0.00005")

    assert (done.status, done.out) == (1, "")
    assert done.err[-1] == (
        "langchain-voxtral: 2 recordings: transcribing 4.0 s would cost about $0.000067, more than "
        "--max-cost 5e-05. Nothing was sent. Raise --max-cost, or send less."
    )


def test_a_budget_without_a_price_is_refused(run: Run) -> None:
    with ScriptedServer() as server:
        done = run(server, "a.wav", "--max-cost", "1")

    assert (done.status, server.requests) == (1, [])
    assert done.err[-1] == (
        "langchain-voxtral: 1 recording: --max-cost 1 cannot be checked, because the price of this "
        "model at this server is not known."
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.wav", "b.wav", "--format", "srt"], "several srt files: give -o DIR"),
        (["a.wav", "./a.wav", "-o", "made"], "a.wav among them, would be written to made/a.txt"),
        (["a.wav", "A.wav", "-o", "made"], "2 of the recordings, a.wav among them, would"),
        (["a.wav", "", "-o", "made"], "one of the names is empty: name a recording"),
        (["a.txt", "-o", "."], "a.txt is one of the recordings and would be overwritten"),
        (["a.wav", "."], ". is a folder: name the recordings in it, *.mp3"),
        (["a.wav", "--skip-existing"], "--skip-existing looks into a folder: give -o DIR"),
        (["a.wav", "-o", "b.wav"], "the folder b.wav cannot be made: File exists"),
        (["a.wav", "--base-url", "nonsense"], "no http:// or https:// URL"),
    ],
)
def test_errors_are_one_line_and_come_before_anything_is_sent(
    run: Run, arguments: list[str], expected: str
) -> None:
    with ScriptedServer() as server:
        done = run(server, *arguments)

    assert (done.status, done.out, server.requests) == (2, "", [])
    [error] = done.err
    assert error.startswith("langchain-voxtral: ")
    assert expected in error


@pytest.mark.parametrize("amount", ["-1", "nan", "much"])
def test_a_budget_is_an_amount_of_money(
    run: Run, amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(None, "a.wav", f"--max-cost={amount}")

    code: Any = ended.value.code
    assert code == 2
    assert f"'{amount}' is no amount of US dollars" in capsys.readouterr().err


def test_a_text_that_would_replace_a_folder_is_refused_before_anything_is_sent(run: Run) -> None:
    Path("made/b.txt").mkdir(parents=True)
    with ScriptedServer() as server:
        done = run(server, "a.wav", "b.wav", "-o", "made")

    message = (
        f"langchain-voxtral: {Path('made/b.txt')} is a folder, and a text is to have this name"
    )
    assert (done, server.requests) == ((2, "", [message]), [])


def test_after_a_text_that_cannot_be_written_nothing_more_is_paid(run: Run) -> None:
    long = "a" * 250  # names have at most 255 characters, and a `.txt.part` is written first
    Path(f"{long}.wav").write_bytes(SHORT)
    with ScriptedServer(transcription_reply("A.", **PAID)) as server:
        done = run(server, f"{long}.wav", "b.wav", "-o", "made")

    assert (done.status, len(server.requests)) == (1, 1)
    assert done.err[-2:] == [
        (
            "1 recording, 2.0 s of audio, $0.000033 (reported by the server); "
            "not counted: 1 not finished"
        ),
        f"langchain-voxtral: {Path('made', long)}.txt cannot be written: File name too long",
    ]
    assert [*Path("made").iterdir()] == []


def test_a_run_continues_where_an_earlier_one_ended(run: Run) -> None:
    Path("made").mkdir()
    Path("made/a.txt").write_text("A, as it was heard before.\n")
    with ScriptedServer(transcription_reply("B.", **PAID)) as server:
        rest = run(server, "a.wav", "b.wav", "-o", "made", "--skip-existing")
        nothing = run(server, "a.wav", "b.wav", "-o", "made", "--skip-existing")

    assert Path("made/a.txt").read_text() == "A, as it was heard before.\n"
    assert rest.status == 0
    assert rest.err == [
        "Skipping 1 recording: transcribed already.",
        f"Asking {MODEL} at {server.url}.",
        f"b.wav: wrote {Path('made/b.txt')}.",
        "1 recording, 2.0 s of audio, $0.000033 (reported by the server)",
    ]
    assert nothing == (0, "", ["Skipping 2 recordings: transcribed already."])


def test_a_recording_may_come_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SHORT)))
    with ScriptedServer(transcription_reply("From afar.")) as server:
        done = run(server, "-", "-o", "made")

    _, (_, _, _, sent) = form_of(server.requests[0])
    assert (done.status, sent) == (0, SHORT)
    assert Path("made/stdin.txt").read_text() == "From afar.\n"


def test_control_characters_of_servers_do_not_reach_the_terminal(run: Run) -> None:
    name = "\x1b[31mred\nand \u202eback.wav"
    Path(name).write_bytes(SHORT)
    refused = json_reply({"error": {"message": "\x1b[2Jno"}}, status=400)
    with ScriptedServer(transcription_reply("A."), refused) as server:
        done = run(server, name, "a.wav", "missing\x1b[0m.wav", "-o", "made")

    assert all(line.isprintable() for line in done.err)
    assert r"langchain-voxtral: missing\x1b[0m.wav cannot be read" in done.err[0]
    assert done.err[2].startswith(r"\x1b[31mred\nand \u202eback.wav: wrote ")


@pytest.mark.parametrize(("form", "written"), [("text", rb"\xc4."), ("json", rb'"\u00c4."')])
def test_no_text_is_lost_to_an_output_that_lacks_its_characters(
    run: Run, monkeypatch: pytest.MonkeyPatch, form: str, written: bytes
) -> None:
    narrow = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(narrow, encoding="ascii"))
    with ScriptedServer(transcription_reply("\u00c4.")) as server:
        status = run(server, "a.wav", "--format", form).status

    assert status == 0
    assert written in narrow.getvalue()


def test_requests_follow_the_kind_of_server(run: Run) -> None:
    with ScriptedServer(transcription_reply("A.")) as server:
        run(server, "a.wav", "--server", "vllm")

    assert [seen.path for seen in server.requests] == ["/v1/audio/transcriptions"]


def test_a_kind_of_server_without_an_address_is_not_taken_for_the_embedded_engine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DEEPINFRA_KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    done = run(None, "a.wav", "--server", "vllm")

    [error] = done.err
    assert done.status == 2
    assert "--server vllm needs the address of your server" in error


def test_a_missing_speech_extra_is_reported_once_for_all_recordings(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DEEPINFRA_KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as if it were not installed
    done = run(None, "a.wav", "b.wav")

    assert (done.status, done.out) == (1, "")
    [error] = done.err
    assert error == (
        "langchain-voxtral: the embedded engine has no speech support yet: pip install "
        '"langchain-voxtral[local-speech]"; or set DEEPINFRA_API_TOKEN, and DeepInfra is '
        "asked"
    )


def test_the_name_of_a_file_stays_as_it_is_whatever_it_looks_like(run: Run) -> None:
    name = "model='x' max_tokens=5 (timeout=3).wav"
    Path(name).write_bytes(SHORT)
    with ScriptedServer(REFUSED) as server:
        done = run(server, name)

    assert done.status == 1
    assert done.err[1].startswith(f"langchain-voxtral: {name}: The server refuses the request")
    assert done.err[1].count(name) == 1
    assert "--model" not in done.err[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-o", ""], "-o/--output: it is empty"),
        (["--store", ""], "--store: it is empty"),
        (["--store", "kept", "--no-store"], "--no-store: not allowed with argument --store"),
    ],
)
def test_folders_have_a_name_and_are_not_contradicted(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(None, "a.wav", *arguments)

    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"langchain-voxtral: {problem} (see langchain-voxtral transcribe --help)\n",
    )
