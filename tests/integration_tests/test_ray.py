"""Datasets of Ray Data, on two CPUs of this machine; a scripted server counts the requests."""

import json
import logging
import re
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pickle import PicklingError
from typing import Any, cast

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import ValidationError
from support import speech_samples, sse_replies
from support.file_host import hosted
from support.ray_job import (
    PROMPTS,
    ROWS_PER_BATCH,
    actors_of,
    answer_prompts,
    check_rows,
    rows_of,
    start_driver,
    wait_for_first_batch,
    wait_until,
    workers,
)
from support.row_server import RowServer
from support.sse_replies import json_reply

from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralInvalidRequestError
from langchain_voxtral.ray import complete, transcribe

pytestmark = pytest.mark.ray

KEY = "tok-4f81c6e0-distinctive"
BUSY = json_reply({"error": {"message": "Model busy, retry later"}}, status=500)
TOO_LONG = json_reply({"error": {"message": "Input is too long"}}, status=400)
REFUSED = (
    "VoxtralInvalidRequestError: The server refuses the request as invalid: change what its "
    'message names. The server said: "Input is too long" (status 400)'
)
FAILED_TWICE = (
    "VoxtralAPIError: The server failed: try again later. The server said: "
    '"Model busy, retry later" (status 500, 2 attempts)'
)
NO_PROMPT = "VoxtralInvalidRequestError: A prompt must be a string or a list of messages, not null."


@pytest.fixture(scope="module", autouse=True)
def ray_folder() -> Iterator[Path]:
    """Start Ray once for all tests, and return the folder of its logs."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: its sockets are in it
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VOXTRAL_API_KEY", KEY)
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            logging_level=logging.ERROR,
            object_store_memory=200 * 2**20,
            _temp_dir=str(folder),
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield folder
        ray.shutdown()
    shutil.rmtree(folder)


def prompts(number: int) -> list[str]:
    return [f"row {one}" for one in range(number)]


def dataset(**columns: Any) -> ray.data.Dataset:
    return ray.data.from_arrow(pa.table(columns))


def answer(text: str, **metadata: Any) -> dict[str, Any]:
    """Return the columns of an answer of the scripted server."""
    return {
        "text": text,
        "usage": {
            "input_tokens": 12,
            "output_tokens": 25,
            "total_tokens": 37,
            "audio_seconds": None,
        },
        "cost_usd": 0.0000436,
        "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
        "metadata": json.dumps(
            {
                "model_name": "mistralai/Voxtral-Mini-3B-2507",
                "model_provider": "deepinfra",
                "endpoint": "native",
                "runtime_ms": 243,
                **metadata,
            }
        ),
        "error": None,
    }


def failure(error: str) -> dict[str, Any]:
    """Return the columns of a row that has nothing but an error."""
    return dict.fromkeys(answer("")) | {"error": error}


@pytest.fixture(scope="module")
def server() -> Iterator[RowServer]:
    """A server that has an error for some rows, and answers when both actors have sent requests."""
    rows = {
        "row 5": [TOO_LONG],
        "row 6": [BUSY],
        "row 7": [BUSY, sse_replies.whole("At last")],
    }
    with RowServer(rows, held=None) as server:
        yield server


@pytest.fixture(scope="module")
def answers(server: RowServer) -> ray.data.Dataset:
    """One job of 160 rows on two actors, which may have eight requests in flight."""
    cells = [None if row == "row 8" else row for row in prompts(160)]
    ds = complete(
        dataset(prompt=cells, number=range(160)),
        "prompt",
        base_url=server.url,
        num_actors=2,
        max_in_flight=8,
        max_retries=1,
    )
    with ThreadPoolExecutor() as threads:
        job = threads.submit(ds.materialize)
        try:
            server.wait_for_requests(8)
            wait_until(lambda: len(actors_of(server)) == 2, server.timeout_seconds)
        finally:
            server.release()
        return cast("ray.data.Dataset", job.result())


def test_each_row_has_its_answer_and_its_other_columns(answers: ray.data.Dataset) -> None:
    rows = {row["number"]: row for row in answers.take_all()}
    assert answers.count() == len(rows) == 160
    failed = {number: rows.pop(number) for number in (5, 6, 8)}
    again = rows.pop(7)
    assert rows == {
        number: {"prompt": f"row {number}", "number": number, **answer(f"Answer to row {number}")}
        for number in rows
    }
    assert again == {"prompt": "row 7", "number": 7, **answer("At last", attempts=2)}
    assert failed == {
        number: {"prompt": prompt, "number": number, **failure(error)}
        for number, prompt, error in [
            (5, "row 5", REFUSED),
            (6, "row 6", FAILED_TWICE),
            (8, None, NO_PROMPT),
        ]
    }


def test_columns_have_the_types_of_the_documents(answers: ray.data.Dataset) -> None:
    assert cast("pa.Schema", answers.schema().base_schema).remove_metadata() == pa.schema(
        {
            "prompt": pa.string(),
            "number": pa.int64(),
            "text": pa.string(),
            "usage": pa.struct(
                {
                    "input_tokens": pa.int64(),
                    "output_tokens": pa.int64(),
                    "total_tokens": pa.int64(),
                    "audio_seconds": pa.float64(),
                }
            ),
            "cost_usd": pa.float64(),
            "request_id": pa.string(),
            "metadata": pa.string(),
            "error": pa.string(),
        }
    )


def test_all_actors_together_have_no_more_requests_in_flight(
    server: RowServer, answers: ray.data.Dataset
) -> None:
    assert answers.count() == 160
    assert server.peak == 8


def test_only_the_model_retries(server: RowServer, answers: ray.data.Dataset) -> None:
    assert answers.count() == 160
    others = Counter(prompts(160)) - Counter(["row 8"])
    assert server.counts == others + Counter(["row 6", "row 7"])


def test_messages_may_be_objects_of_langchain(tmp_path: Path) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage("Hello!")]
    ds = ray.data.from_items([{"messages": messages}])
    with RowServer() as server:
        answers = complete(ds, "messages", output=str(tmp_path / "results"), base_url=server.url)
        [row] = answers.take_all()
    assert json.loads(row.pop("messages")) == dumpd(messages)
    assert len(row.pop("key")) > 0
    assert row == answer("Answer to Hello!")


def test_recordings_are_paths_or_addresses(tmp_path: Path) -> None:
    names = ("path", "file", "http")
    talks = {name: speech_samples.wav_bytes(speech_samples.noise(1.0)) for name in names}
    talks = {name: data + name.encode() * 2 for name, data in talks.items()}
    for name, data in talks.items():
        (tmp_path / f"{name}.wav").write_bytes(data)
    (tmp_path / "junk.wav").write_bytes(b"no sound")
    with RowServer(recordings=talks) as server, hosted(tmp_path) as host:
        paths = [
            str(tmp_path / "path.wav"),
            (tmp_path / "file.wav").as_uri(),
            f"{host}/http.wav",
            str(tmp_path / "junk.wav"),
            str(tmp_path / "missing.wav"),
            None,
        ]
        ds = dataset(path=paths, number=range(6))
        results = str(tmp_path / "results")
        answers = transcribe(ds, "path", output=results, base_url=server.url)
        rows = sorted(answers.take_all(), key=lambda row: row["number"])
    assert [row["path"] for row in rows] == paths
    assert [row["text"] for row in rows[:3]] == [f"Answer to {name}" for name in names]
    assert server.counts == dict.fromkeys(names, 1)
    assert [row["error"] and row["error"].split(":")[0] for row in rows] == [
        *(None, None, None),
        *("VoxtralAudioError", "FileNotFoundError", "VoxtralInvalidRequestError"),
    ]


def test_small_blocks_are_joined_to_whole_batches(tmp_path: Path) -> None:
    rows = [{"prompt": row} for row in prompts(160)]
    ds = ray.data.from_items(rows, override_num_blocks=32)
    with RowServer() as server:
        complete(ds, "prompt", output=str(tmp_path), base_url=server.url)
    files = [pq.read_metadata(file).num_rows for file in tmp_path.iterdir()]
    assert files == [ROWS_PER_BATCH] * 5


def test_a_wrong_key_ends_the_job_after_the_answers_are_written(tmp_path: Path) -> None:
    refused = json_reply({"error": {"message": f"{KEY} is no key"}}, status=401)
    with RowServer({"row 5": [refused]}) as server, pytest.raises(VoxtralAuthenticationError) as e:
        complete(dataset(prompt=prompts(32)), "prompt", output=str(tmp_path), base_url=server.url)
    assert {one.headers["authorization"] for one in server.requests} == {f"Bearer {KEY}"}
    assert "VOXTRAL_API_KEY" in str(e.value)
    assert KEY not in "".join(traceback.format_exception(e.value))
    written = pq.read_table(tmp_path)
    assert sorted(written["prompt"].to_pylist()) == sorted(set(prompts(32)) - {"row 5"})
    assert written["error"].null_count == 31


def test_an_error_of_all_rows_ends_the_actors(tmp_path: Path) -> None:
    refused = json_reply({"error": {"message": "no"}}, status=401)
    held = PROMPTS[ROWS_PER_BATCH:]  # so that the job would not end by itself
    with RowServer({PROMPTS[5]: [refused]}, held=held) as server:
        with pytest.raises(VoxtralAuthenticationError) as e:
            answer_prompts(server.url, str(tmp_path))
        wait_until(
            lambda: not any("MapWorker" in name for name in workers()), server.timeout_seconds
        )
        assert e.tb is not None  # the traceback, which has the frames of the job


Call = Callable[..., ray.data.Dataset]
Settings = dict[str, Any]
MISTAKES: dict[str, tuple[Call, Settings, type[Exception]]] = {
    "pickle_api_key=True": (complete, {"api_key": KEY}, VoxtralInvalidRequestError),
    "Did you mean 'temperature'": (complete, {"temprature": 0}, ValidationError),
    "temperature": (complete, {"temperature": "hot"}, ValidationError),
    "mode='segment'": (transcribe, {"mode": "segment"}, VoxtralInvalidRequestError),
    "num_actors=0": (complete, {"num_actors": 0}, VoxtralInvalidRequestError),
    "num_actors=3": (complete, {"num_actors": 3, "max_in_flight": 2}, VoxtralInvalidRequestError),
    "with 300 at a time": (transcribe, {"max_concurrency": 300}, VoxtralInvalidRequestError),
    "http_client": (complete, {"http_client": httpx.Client()}, PicklingError),
}


@pytest.mark.parametrize("output", [None, "results"])
@pytest.mark.parametrize("message", MISTAKES)
def test_a_wrong_setting_is_an_error_of_the_call(
    message: str, output: str | None, tmp_path: Path
) -> None:
    call, settings, error = MISTAKES[message]
    ds = dataset(prompt=["Hello!"])
    output = output and str(tmp_path / output)
    with RowServer() as server:
        with pytest.raises(error, match=re.escape(message)) as e:
            call(ds, "prompt", output=output, base_url=server.url, **settings)
        assert server.connections == []
    assert KEY not in str(e.value)


@pytest.mark.parametrize(
    ("call", "columns", "message"),
    [
        (complete, ["one", "two"], "no column 'prompt'; its columns are one, two"),
        (complete, ["prompt", "text"], "'text': 'input_text'"),
        (complete, ["prompt", "key"], "'key': 'input_key'"),
        (transcribe, ["prompt", "segments"], "'segments': 'input_segments'"),
    ],
)
@pytest.mark.parametrize("output", [None, "results"])
def test_a_wrong_column_is_an_error_of_the_call(
    call: Call, columns: list[str], message: str, output: str | None, tmp_path: Path
) -> None:
    output = output and str(tmp_path / output)
    ds = dataset(**{name: ["Hello!"] for name in columns})
    with RowServer() as server:
        with pytest.raises(VoxtralInvalidRequestError, match=re.escape(message)):
            call(ds, "prompt", output=output, base_url=server.url)
        assert server.connections == []


@pytest.fixture
def held() -> Iterator[RowServer]:
    """A server that answers the first batch of `PROMPTS`, and some rows of the second."""
    with RowServer(held=PROMPTS[ROWS_PER_BATCH + 8 :]) as server:
        yield server


def test_a_job_whose_driver_was_killed_sends_what_is_not_written(
    held: RowServer, tmp_path: Path
) -> None:
    driver = start_driver(held.url, str(tmp_path))
    try:
        wait_for_first_batch(held, tmp_path)
    finally:
        driver.kill()
    driver.wait(held.timeout_seconds)
    held.wait_until_disconnected()  # Ray has ended the actors
    assert held.counts == Counter(PROMPTS)
    written = pq.read_table(tmp_path)["prompt"].to_pylist()
    assert sorted(written) == sorted(PROMPTS[:ROWS_PER_BATCH])
    [file] = tmp_path.iterdir()
    (tmp_path / f".{file.name}").write_bytes(file.read_bytes()[:100])  # as if killed meanwhile

    held.release()
    rows = answer_prompts(held.url, str(tmp_path))
    # The first batch is not sent again. All other rows were in flight, or in a batch
    # that was not complete.
    assert held.counts == Counter(PROMPTS) + Counter(PROMPTS[ROWS_PER_BATCH:])
    check_rows(rows, tmp_path)

    assert answer_prompts(held.url, str(tmp_path)) == rows
    assert len(held.requests) == 2 * len(PROMPTS) - ROWS_PER_BATCH


def test_a_job_goes_on_after_an_actor_was_killed(held: RowServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        job = threads.submit(answer_prompts, held.url, str(tmp_path))
        try:
            wait_for_first_batch(held, tmp_path)
            [(actor, ports)] = [
                (actor, ports)
                for actor, ports in actors_of(held).items()
                if PROMPTS[-1] in rows_of(held, ports)
            ]
            lost = {PROMPTS.index(row) // ROWS_PER_BATCH for row in rows_of(held, ports)} - {0}
            assert actor.cmdline()[0].startswith("ray::MapWorker")
            actor.kill()
            actor.wait(held.timeout_seconds)
        finally:
            held.release()
        rows = job.result()
    again = [row for number, row in enumerate(PROMPTS) if number // ROWS_PER_BATCH in lost]
    assert held.counts == Counter(PROMPTS) + Counter(again)
    check_rows(rows, tmp_path)


def test_the_embedded_engine_answers() -> None:
    ds = dataset(prompt=["What is the capital of France?"])
    [row] = complete(ds, "prompt", base_url="local", temperature=0, seed=1).take_all()
    assert row["error"] is None
    assert "Paris" in row["text"]


def test_the_embedded_engine_transcribes() -> None:
    ds = dataset(recording=[speech_samples.JFK.read_bytes()], name=["jfk"])
    [row] = transcribe(ds, "recording", base_url="local").take_all()
    assert (row["name"], row["error"]) == ("jfk", None)
    assert "ask not what your country can do for you" in row["text"].lower()


def test_no_key_is_in_logs_or_names(ray_folder: Path, answers: ray.data.Dataset) -> None:
    logs = [file for file in ray_folder.rglob("*") if file.is_file()]
    assert any(file.name.startswith("worker-") for file in logs)
    assert [file for file in logs if KEY.encode() in file.read_bytes()] == []
    assert KEY not in repr(answers)
