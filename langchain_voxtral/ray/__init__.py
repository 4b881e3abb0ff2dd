"""Transcripts and answers for whole datasets, with Ray Data: `transcribe` and `complete`.

Each takes a `ray.data.Dataset` and returns one with these columns in addition:

- `text` (string): The transcript or the answer; null, or what arrived of it, if it failed.
- `segments` (list of `start`, `end`, `speaker`, `text`): Those of a transcript, in seconds, if the
  server returns times; with `timestamps="word"` it is null, and `words` has the times, with a
  subtitle file both are null. Answers have neither column.
- `usage` (`input_tokens`, `output_tokens`, `total_tokens`, `audio_seconds`): What is known of it.
- `cost_usd` (float): US dollars; null if unknown.
- `request_id` (string): The server's ids of the requests, joined by commas.
- `metadata` (string): All other metadata of the document or message, as JSON.
- `error` (string): Class and message of what failed in this row; null if nothing did.
- `key` (string): With `output=`, a hash by which a job knows the row again.

Needs the extra `ray`: `pip install "langchain-voxtral[ray]"`.
"""

import logging
import math
import os
import pickle
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from typing import Any, cast

from pydantic import ValidationError

from langchain_voxtral.chat_models import ChatVoxtral
from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError
from langchain_voxtral.providers import EnvironmentKey

try:
    import pyarrow as pa
    import pyarrow.fs
    import ray
    import ray.data

    from langchain_voxtral.ray.actor import Job, Worker
    from langchain_voxtral.ray.results import ResultFolder
    from langchain_voxtral.ray.rows import Completion, SegmentParser, Task, Transcription
except ImportError as error:
    raise VoxtralMissingExtraError(str(error.name), extra="ray") from error

__all__ = ["complete", "transcribe"]

logger = logging.getLogger("langchain_voxtral")

_ROWS_PER_BATCH = 32
"""Rows that an actor takes at a time; a file of results has at most as many."""
_PARSER_DEFAULTS: dict[str, Any] = {
    "max_concurrency": 1,
    "on_error": "mark",
    "progress": False,
}
_ARGUMENTS = ("output", "num_actors", "max_in_flight", "num_cpus", "filesystem")
_MODES = ("document", "srt", "vtt")


def complete(
    ds: ray.data.Dataset,
    column: str,
    *,
    output: str | os.PathLike[str] | None = None,
    num_actors: int = 1,
    max_in_flight: int = 200,
    num_cpus: float = 0.25,
    filesystem: pyarrow.fs.FileSystem | None = None,
    **chat_settings: Any,
) -> ray.data.Dataset:
    """Answer prompts with `ChatVoxtral`.

    Args:
        ds: The dataset. Its other columns are kept.
        column: The column of prompts: strings, or lists of messages, as
            `[{"role": "user", "content": "Hello!"}]`.
        output: Folder for Parquet files, a path or an address. Then all rows are answered and
            written now, and the dataset that is returned has the folder's rows of these settings.
            Rows that the folder has are not sent again, except those with an `error`. None returns
            a lazy dataset, which sends its requests each time that it is read.
        num_actors: Number of processes that send requests.
        max_in_flight: The most requests at the same time, of all actors together. DeepInfra allows
            200 for a model.
        num_cpus: CPUs that Ray reserves for an actor. Reading the dataset needs one, too.
        filesystem: pyarrow's file system of `output`; None derives it from the address.
        **chat_settings: Those of `ChatVoxtral`.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: `ds` is no dataset, lacks the column or has one that answers
            would replace, a number is out of range, or a key would have to be sent to the actors.

    Example:
        ```python
        import ray
        from langchain_voxtral.ray import complete

        prompts = ray.data.from_items([{"prompt": "What is the capital of Japan?"}])
        for row in complete(prompts, "prompt", base_url="local", temperature=0).iter_rows():
            print(row["text"])
        ```
    """
    with _naming_arguments(chat_settings):
        task = Completion(ChatVoxtral(**chat_settings))
    return _run(
        ds,
        column,
        task,
        output=output,
        num_actors=num_actors,
        max_in_flight=max_in_flight,
        num_cpus=num_cpus,
        filesystem=filesystem,
    )


def transcribe(
    ds: ray.data.Dataset,
    column: str,
    *,
    output: str | os.PathLike[str] | None = None,
    num_actors: int = 1,
    max_in_flight: int = 200,
    num_cpus: float = 0.25,
    filesystem: pyarrow.fs.FileSystem | None = None,
    **parser_settings: Any,
) -> ray.data.Dataset:
    """Transcribe or translate recordings with `VoxtralTranscriptionParser`.

    A recording that is cut into chunks is sent a chunk at a time, unless `max_concurrency` is set:
    many recordings are in work anyway. What fails in one chunk is reported in `error`, beside the
    text of the others (`on_error="mark"`).

    Args:
        ds: The dataset. Its other columns are kept.
        column: The column of recordings: their bytes, paths, or addresses (`s3://`, `gs://`, ...).
            Paths must exist on each machine of the cluster. Files of results have no bytes of
            recordings.
        output: As for `complete`.
        num_actors: Number of processes that decode recordings and send requests.
        max_in_flight: As for `complete`.
        num_cpus: As for `complete`. An actor that decodes without a pause uses a CPU and more.
        filesystem: pyarrow's file system of `output` and of the addresses of recordings; None
            derives it from each address.
        **parser_settings: Those of `VoxtralTranscriptionParser`. `mode` is `"document"`, `"srt"`
            or `"vtt"`; segments are requested if the server returns any.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: As for `complete`, or `mode` is another one.

    Example:
        ```python
        import ray
        from langchain_voxtral.ray import transcribe

        recordings = ray.data.from_items([{"path": "talk.mp3"}])
        for row in transcribe(recordings, "path", base_url="local").iter_rows():
            print(row["text"], row["segments"])
        ```
    """
    with _naming_arguments(parser_settings):
        task = Transcription(_make_parser(parser_settings), filesystem)
    return _run(
        ds,
        column,
        task,
        output=output,
        num_actors=num_actors,
        max_in_flight=max_in_flight,
        num_cpus=num_cpus,
        filesystem=filesystem,
    )


def _make_parser(settings: dict[str, Any]) -> VoxtralTranscriptionParser:
    """Return the parser of an actor, which asks for segments if the server returns any."""
    settings = _PARSER_DEFAULTS | settings
    parser: VoxtralTranscriptionParser
    try:
        parser = SegmentParser(**settings)
    except ValidationError:  # of this server, or of another setting
        parser = VoxtralTranscriptionParser(**settings)
    if parser.mode not in _MODES:
        raise VoxtralInvalidRequestError(
            f"mode={parser.mode!r} makes several documents of a recording, whose dataset has one "
            f"row for it: use one of {', '.join(_MODES)}; the segments are a column of their own."
        )
    return parser


def _run(
    ds: ray.data.Dataset,
    column: str,
    task: Task,
    *,
    output: str | os.PathLike[str] | None,
    num_actors: int,
    max_in_flight: int,
    num_cpus: float,
    filesystem: pyarrow.fs.FileSystem | None,
) -> ray.data.Dataset:
    _check_dataset(ds)
    max_rows = max_in_flight // max(num_actors, 1) // task.requests_per_row
    if num_actors < 1 or max_rows < 1:
        raise VoxtralInvalidRequestError(
            f"max_in_flight={max_in_flight} leaves no request for each of num_actors={num_actors} "
            f"with {task.requests_per_row} at a time: raise it, or lower num_actors."
        )
    _check_key(task.model)
    _check_cpus(num_actors * num_cpus)
    folder = None if output is None else ResultFolder.open(output, filesystem, task.settings)
    job = Job(task, column, max_rows, folder)
    # A job that is to run reads a row first, if need be; a lazy dataset is left alone.
    if (schema := ds.schema(fetch_if_missing=folder is not None)) is not None:
        job.check(schema.names)
    answers = ds.repartition(target_num_rows_per_block=_ROWS_PER_BATCH, strict=True).map_batches(
        Worker,
        fn_constructor_args=[job],
        batch_size=_ROWS_PER_BATCH,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        # So many batches that the slowest request of one keeps no other from being sent.
        compute=ray.data.ActorPoolStrategy(
            size=num_actors,
            enable_true_multi_threading=True,
            max_concurrent_calls_per_actor=1 + math.ceil(2 * max_rows / _ROWS_PER_BATCH),
        ),
    )
    if folder is None:
        return answers
    _write(answers, folder)
    if not (files := folder.files()):
        return ray.data.from_arrow(pa.schema(task.schema).empty_table())
    return ray.data.read_parquet(files, filesystem=folder.filesystem)


def _write(answers: ray.data.Dataset, folder: ResultFolder) -> None:
    """Run a job, whose actors write the answers and return numbers."""
    failures = folder.failures()
    sent = failed = 0
    error = ""
    read = answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    # Closed here, because the traceback of an error would keep the job alive.
    with closing(cast("Generator[pa.Table]", iter(read))) as tables:
        for table in tables:
            for one in table.to_pylist():
                if one["failure"] is not None:
                    raise pickle.loads(one["failure"])  # noqa: S301 - of our own actor
                sent += one["sent"]
                failed += one["failed"]
                error = error or one["error"]
    folder.drop_repeated(failures)
    logger.info("%s: %d rows were answered, %d failed", folder.path, sent - failed, failed)
    if failed:
        logger.warning(
            "%s: %d of %d rows failed; another run sends them again. Their column error says why; "
            "the first one is %s",
            folder.path,
            failed,
            sent,
            error,
        )


def _check_dataset(ds: Any) -> None:
    """Check that a dataset was given, and not what one is made from."""
    if not isinstance(ds, ray.data.Dataset):
        raise VoxtralInvalidRequestError(
            f"ds must be a ray.data.Dataset, not {type(ds).__name__}: make one with "
            "ray.data.from_items(), ray.data.from_pandas() or another function of ray.data."
        )


@contextmanager
def _naming_arguments(settings: Collection[str]) -> Iterator[None]:
    """Name the argument that a setting may stand for, if it is no setting of the model."""
    try:
        yield
    except ValidationError as error:
        for name in settings:
            if close := get_close_matches(name, _ARGUMENTS, n=1):
                error.add_note(f"If {name!r} is an argument of the job, its name is {close[0]!r}.")
        raise


def _check_key(model: Any) -> None:
    """Check that no key has to be sent to the actors, where Ray would keep it."""
    pickle.dumps(model)  # raises if it cannot be sent, as with http_client=
    if not isinstance(model.api_key, EnvironmentKey | None) and not model.pickle_api_key:
        raise VoxtralInvalidRequestError(
            "api_key= is not sent to the actors: set the variable of the key in their environment "
            "(before ray.init(), or with its runtime_env=), or allow it with pickle_api_key=True."
        )


def _check_cpus(needed: float) -> None:
    """Warn if the actors leave no CPU to read the dataset: then Ray waits without a word."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if needed > resources.get("CPU", 0) - 1:
        logger.warning(
            "The actors reserve %g of the cluster's %g CPUs, and reading the dataset needs one: "
            "the job does not begin unless the cluster grows. Lower num_cpus or num_actors.",
            needed,
            resources.get("CPU", 0),
        )
