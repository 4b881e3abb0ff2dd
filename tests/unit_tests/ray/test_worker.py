"""`Worker` without a cluster: rows, keys, and what a second run sends."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest
from support import sse_replies
from support.row_server import RowServer
from support.scripted_server import ScriptedServer
from support.speech_samples import noise, wav_bytes
from support.sse_replies import json_reply
from support.transcription_calls import transcription_reply

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.ray import _make_parser
from langchain_voxtral.ray.actor import Job, Worker
from langchain_voxtral.ray.results import ResultFolder
from langchain_voxtral.ray.rows import Completion, Task, Transcription

KEY = "tok-4f81c6e0-distinctive"
TOO_LONG = json_reply({"error": {"message": "Input is too long"}}, status=400)
ROW = {"prompt": "Hello!", "number": 1}
TALKS = {f"talk {number}": wav_bytes(noise(1.0 + number)) for number in range(3)}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)


@pytest.fixture
def folder(tmp_path: Path) -> ResultFolder:
    return ResultFolder.open(str(tmp_path / "results"), None, {})


def completion(server: ScriptedServer, **settings: Any) -> Completion:
    return Completion(ChatVoxtral(base_url=server.url, max_retries=0, **settings))


def transcription(server: ScriptedServer, **settings: Any) -> Transcription:
    parser = _make_parser({"base_url": server.url, "max_retries": 0, **settings})
    return Transcription(parser, None)


def run(task: Task, column: str, rows: Any, folder: ResultFolder | None = None) -> pa.Table:
    """Do what a job does with one actor."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    failures = [] if folder is None else folder.failures()
    answers = Worker(Job(task, column, 8, folder))(table)
    if folder is None:
        return answers
    folder.drop_repeated(failures)
    return pa.parquet.read_table(folder.path)


def test_fields_that_only_arrow_gave_to_messages_are_not_sent() -> None:
    sound = {"data": b64encode(TALKS["talk 0"]).decode(), "format": "wav"}
    parts = [{"type": "text", "text": "Who speaks?"}, {"type": "input_audio", "input_audio": sound}]
    messages: list[Any] = [{"role": "user", "content": parts}]
    table = pa.Table.from_pylist([{"messages": messages}])
    assert table["messages"].to_pylist()[0][0]["content"][0]["input_audio"] is None
    with ScriptedServer(default=TOO_LONG) as server:
        run(completion(server), "messages", table)
        with pytest.raises(VoxtralInvalidRequestError):
            completion(server).model.invoke(messages)
    [from_arrow, plain] = [request.body for request in server.requests]
    assert from_arrow == plain


@pytest.mark.parametrize("cell", [None, [], 7, {"role": "user"}], ids=repr)
def test_a_cell_that_is_no_prompt_is_an_error_of_its_row(cell: Any) -> None:
    with RowServer() as server:
        [row] = run(completion(server), "prompt", [{"prompt": cell}]).to_pylist()
        assert server.requests == []
    assert row["error"].startswith(
        "VoxtralInvalidRequestError: A prompt must be a string or a list of messages, not "
    )


@pytest.mark.parametrize("cell", [None, 7, ["talk.mp3"]], ids=repr)
def test_a_cell_that_is_no_recording_is_an_error_of_its_row(cell: Any) -> None:
    with RowServer() as server:
        [row] = run(transcription(server), "path", [{"path": cell}]).to_pylist()
        assert server.requests == []
    assert row["error"] == (
        "VoxtralInvalidRequestError: A recording must be its bytes, or a path or an address as a "
        f"string, not {'null' if cell is None else type(cell).__name__}."
    )


@pytest.mark.parametrize(
    ("cells", "written"),
    [
        (pa.array([{}, None], pa.struct([])), ["{}", "null"]),
        (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), ["[1, 2, 3]", "null"]),
        (pa.array([["x"], None], pa.list_(pa.string_view())), ['["x"]', "null"]),
        (pa.array(["x", None], pa.string_view()), ["x", None]),
        (pa.array([b"x", None], pa.binary_view()), [b"x", None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_column_of_any_type_is_written(
    folder: ResultFolder, cells: pa.Array, written: list[Any]
) -> None:
    with RowServer() as server:
        for _ in range(2):
            rows = pa.table({"prompt": ["Hello!", "Bye!"], "other": cells})
            table = run(completion(server), "prompt", rows, folder)
        assert server.counts == {"Hello!": 1, "Bye!": 1}
    assert table["other"].to_pylist() == written


@pytest.mark.parametrize("cells", [pa.array(["x"], pa.string_view()), pa.array([{}])], ids=str)
def test_a_lazy_dataset_keeps_the_types_of_columns(cells: pa.Array) -> None:
    with RowServer() as server:
        table = run(completion(server), "prompt", pa.table({"prompt": ["Hello!"], "other": cells}))
    assert table["other"].combine_chunks() == pa.chunked_array([cells]).combine_chunks()


def test_a_batch_without_rows_has_the_columns(folder: ResultFolder) -> None:
    rows = pa.table({"prompt": pa.array([], pa.string())})
    with RowServer() as server:
        task = completion(server)
        assert run(task, "prompt", rows).column_names == ["prompt", *task.schema]
        [summary] = Worker(Job(task, "prompt", 8, folder))(rows).to_pylist()
    assert summary == {"sent": 0, "failed": 0, "error": None, "failure": None}


@pytest.mark.parametrize(
    ("path", "where"),
    [("lost.mp3", " in {here}, where the actor runs; use absolute paths"), ("/lost.mp3", "")],
)
def test_a_file_that_is_not_there_is_an_error_of_its_row(path: str, where: str) -> None:
    with RowServer() as server:
        [row] = run(transcription(server), "path", [{"path": path}]).to_pylist()
    assert row["error"] == (
        f"FileNotFoundError: [Errno 2] No such file or directory{where.format(here=Path.cwd())}: "
        f"{path!r}"
    )


def test_a_transcript_has_its_columns() -> None:
    with RowServer(recordings=TALKS) as server:
        table = run(transcription(server), "talk", [{"talk": TALKS["talk 1"], "name": "one"}])
    [row] = table.drop_columns(["talk", "metadata"]).to_pylist()
    assert row == {
        "name": "one",
        "text": "Answer to talk 1",
        "segments": [{"start": 0.0, "end": 2.0, "speaker": None, "text": "Answer to talk 1"}],
        "usage": {
            "input_tokens": None,
            "output_tokens": None,
            "total_tokens": None,
            "audio_seconds": 2.0,
        },
        "cost_usd": None,
        "request_id": "id-Answer to talk 1",
        "error": None,
    }


def test_words_are_a_column_if_they_are_requested() -> None:
    words = [{"word": "Hello", "start": 0.0, "end": 0.5}]
    reply = json_reply({"text": "Hello", "words": words, "segments": []})
    with RowServer({"talk 0": [reply]}, recordings=TALKS) as server:
        task = transcription(server, timestamps="word")
        [row] = run(task, "talk", [{"talk": TALKS["talk 0"]}]).to_pylist()
    assert row["words"] == [{"start": 0.0, "end": 0.5, "speaker": None, "word": "Hello"}]


def test_recordings_of_a_file_system_are_read_and_not_written(
    tmp_path: Path, folder: ResultFolder
) -> None:
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "1.wav").write_bytes(TALKS["talk 1"])
    local = pa.fs.LocalFileSystem()
    files = pa.fs.SubTreeFileSystem(str(tmp_path / "talks"), local)
    with RowServer(recordings=TALKS) as server:
        task = Transcription(transcription(server).model, files)
        rows = run(task, "path", [{"path": "1.wav"}]).to_pylist()
        written = run(transcription(server), "talk", [{"talk": TALKS["talk 2"]}], folder)
    assert [row["text"] for row in rows] == ["Answer to talk 1"]
    assert written["text"].to_pylist() == ["Answer to talk 2"]
    assert "talk" not in written.column_names


class TestSecondRun:
    """What is in the folder is not sent again, unless its row or a setting is another."""

    def test_nothing_is_sent_again(self, folder: ResultFolder) -> None:
        with RowServer() as server:
            first = run(completion(server), "prompt", [ROW], folder)
            assert run(completion(server), "prompt", [ROW], folder) == first
            assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "Hello", "number": 1},
            {"prompt": "Hello!", "number": 2},
            {"prompt": "Hello!", "other": 1},
        ],
        ids=repr,
    )
    def test_another_row_is_sent(self, folder: ResultFolder, row: dict[str, Any]) -> None:
        with RowServer() as server:
            run(completion(server), "prompt", [ROW], folder)
            run(completion(server), "prompt", [row], folder)
            assert len(server.requests) == 2
        assert len(folder.keys()) == 2

    @pytest.mark.parametrize(
        ("setting", "sent"), [({"temperature": 0.7}, 2), ({"stop": ["x"]}, 2), ({"timeout": 9}, 1)]
    )
    def test_another_setting_sends_again_if_answers_depend_on_it(
        self, folder: ResultFolder, setting: dict[str, Any], sent: int
    ) -> None:
        with RowServer() as server:
            run(completion(server), "prompt", [ROW], folder)
            run(completion(server, **setting), "prompt", [ROW], folder)
            assert len(server.requests) == sent

    @pytest.mark.parametrize(("setting", "sent"), [({"language": "de"}, 2), ({"timeout": 9}, 1)])
    def test_another_setting_transcribes_again_if_transcripts_depend_on_it(
        self, folder: ResultFolder, setting: dict[str, Any], sent: int
    ) -> None:
        row = {"talk": TALKS["talk 0"]}
        with RowServer(recordings=TALKS) as server:
            run(transcription(server), "talk", [row], folder)
            run(transcription(server, **setting), "talk", [row], folder)
            assert len(server.requests) == sent

    def test_a_file_that_changed_is_sent(self, folder: ResultFolder, tmp_path: Path) -> None:
        file = tmp_path / "talk.wav"
        with RowServer(recordings=TALKS) as server:
            for talk in ("talk 0", "talk 0", "talk 1"):
                file.write_bytes(TALKS[talk])
                run(transcription(server), "path", [{"path": str(file)}], folder)
            assert server.counts == {"talk 0": 1, "talk 1": 1}

    def test_a_row_that_failed_is_sent_and_stays_once(self, folder: ResultFolder) -> None:
        with RowServer({"Hello!": [TOO_LONG, TOO_LONG, sse_replies.whole("Hi!")]}) as server:
            task = completion(server)
            for error in (True, True, False, False):
                [row] = run(task, "prompt", [ROW], folder).to_pylist()
                assert (row["error"] is not None) == error
            assert len(server.requests) == 3
        assert folder.failures() == []

    def test_a_file_that_was_missing_stays_once(self, folder: ResultFolder, tmp_path: Path) -> None:
        file = tmp_path / "talk.wav"
        rows = [{"path": str(file)}]
        with RowServer(recordings=TALKS) as server:
            [error] = run(transcription(server), "path", rows, folder)["error"].to_pylist()
            assert error.startswith("FileNotFoundError: ")
            file.write_bytes(TALKS["talk 0"])
            table = run(transcription(server), "path", rows, folder)
        assert table["text"].to_pylist() == ["Answer to talk 0"]

    def test_a_missing_file_of_another_dataset_is_kept(
        self, folder: ResultFolder, tmp_path: Path
    ) -> None:
        paths = [str(tmp_path / name) for name in ("one.wav", "two.wav")]
        with RowServer() as server:
            for path in paths:
                table = run(transcription(server), "path", [{"path": path}], folder)
        assert sorted(table["path"].to_pylist()) == paths

    def test_failures_of_other_rows_are_kept(self, folder: ResultFolder) -> None:
        with RowServer({"Hello!": [TOO_LONG]}) as server:
            run(completion(server), "prompt", [ROW], folder)
            table = run(completion(server), "prompt", [{"prompt": "Bye!", "number": 2}], folder)
        assert sorted(table["prompt"].to_pylist()) == ["Bye!", "Hello!"]


def test_a_server_without_times_fails_no_row_that_did_not_ask_for_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal = json_reply({"error": {"message": "do not support verbose_json"}}, status=400)
    rows = [{"recording": talk} for talk in TALKS.values()]
    with ScriptedServer(refusal, default=transcription_reply("Hello")) as server:
        # One row at a time, so that only the first is refused.
        worker = Worker(Job(transcription(server), "recording", 1, None))
        answers = worker(pa.Table.from_pylist(rows)).to_pylist()
        assert len(server.requests) == len(rows) + 1
    assert [(row["text"], row["error"]) for row in answers] == [("Hello", None)] * len(rows)
    assert caplog.messages == []
