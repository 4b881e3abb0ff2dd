"""`Worker`: the actor that holds a model, and sends the requests of its rows."""

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

import pyarrow as pa

from langchain_voxtral.errors import (
    PERMANENT_ERRORS,
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralMissingAudioExtraError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.ray.results import KEY, ResultFolder, hash_values, join_key, storable
from langchain_voxtral.ray.rows import Columns, Task

_KEY_ADVICE = (
    "Actors read the key from their environment: set its variable before ray.init(), or with "
    "ray.init(runtime_env={'env_vars': {...}})."
)


@dataclass(frozen=True, slots=True)
class Job:
    """What each actor does.

    Args:
        task: What is done with a row.
        column: The column of its prompt or recording.
        max_rows: The most rows of one actor whose requests are in flight.
        folder: Where results are written; None returns them.
    """

    task: Task
    column: str
    max_rows: int
    folder: ResultFolder | None

    def check(self, names: Sequence[str]) -> None:
        """Check the names of the dataset's columns.

        Raises:
            VoxtralInvalidRequestError: There is no such column, or one that answers would replace.
        """
        if self.column not in names:
            raise VoxtralInvalidRequestError(
                f"The dataset has no column {self.column!r}; its columns are {', '.join(names)}."
            )
        if taken := [name for name in names if name in {KEY, *self.task.schema}]:
            raise VoxtralInvalidRequestError(
                f"The dataset has a column {taken[0]!r}, which is one of the answer's: give it "
                f"another name, ds.rename_columns({{{taken[0]!r}: 'input_{taken[0]}'}})."
            )


class Worker:
    """Answers batches of rows on one event loop, from any number of threads.

    One that replaces an actor that was killed skips the rows that were written.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._settings = job.task.settings
        self._done = job.folder.keys() if job.folder else set()
        self._slots = asyncio.Semaphore(job.max_rows)
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the rows with their answers; with a folder, write them and return a summary.

        Raises:
            VoxtralError: Every other row would fail for the same reason, as with a wrong key. With
                a folder it is in the summary, because Ray would only keep its text.
        """
        self._job.check(rows.column_names)
        folder = self._job.folder
        written = rows if folder is None else storable(rows)  # may fail: before anything is paid
        answers = asyncio.run_coroutine_threadsafe(self._answer(rows), self._loop).result()
        answered = [one for one in answers if isinstance(one, dict)]
        failure = next((one for one in answers if isinstance(one, BaseException)), None)
        if folder is not None:
            is_answered = pa.array([isinstance(one, dict) for one in answers], pa.bool_())
            table = self._join(written.filter(is_answered), answered)
            folder.write(table)  # what is paid is kept, whatever else fails
            return _summarize(table, failure)
        if failure is not None:
            raise failure
        return self._join(rows, answered)

    async def _answer(self, rows: pa.Table) -> Sequence[Columns | BaseException | None]:
        sent = map(self._answer_row, rows.to_pylist())
        return await asyncio.gather(*sent, return_exceptions=True)

    async def _answer_row(self, row: dict[str, Any]) -> Columns | None:
        """Return the columns of an answer, or of what failed; None if the folder has the row."""
        columns: Columns = {}
        cell = row[self._job.column]
        try:
            if self._job.folder is not None:
                row_hash = await asyncio.to_thread(hash_values, self._settings, row)
                columns[KEY] = join_key(row_hash, "")  # if its file cannot be read
                columns[KEY] = join_key(row_hash, await self._job.task.hash_file(cell))
                if columns[KEY] in self._done:
                    return None
            async with self._slots:
                return columns | await self._job.task.answer(cell)
        except Exception as error:  # whatever is wrong with a row
            if isinstance(error, VoxtralAuthenticationError):
                error.add_note(_KEY_ADVICE)
            if _is_of_all_rows(error):
                raise
            return columns | _failure(error)

    def _join(self, rows: pa.Table, answers: Sequence[Columns]) -> pa.Table:
        """Return rows with the columns of their answers, and in files without recordings."""
        schema = dict(self._job.task.schema)
        if self._job.folder is not None:
            schema |= {KEY: pa.string()}
            kind = rows.schema.field(self._job.column).type
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                rows = rows.drop_columns([self._job.column])
        for name, kind in schema.items():
            rows = rows.append_column(name, pa.array([one.get(name) for one in answers], kind))
        return rows


def _is_of_all_rows(error: Exception) -> bool:
    """Return whether a failure ends the job, because each row would have it."""
    if isinstance(error, VoxtralUnsupportedFeatureError):  # it may be of one row's messages
        return False
    return isinstance(error, (*PERMANENT_ERRORS, VoxtralMissingAudioExtraError))


def _failure(error: Exception) -> Columns:
    columns: Columns = {"error": f"{type(error).__name__}: {error}"}
    if isinstance(error, VoxtralError):
        facts = {"text": error.partial or None, "usage": error.usage}
        columns |= facts | {"request_id": error.request_id}
    return columns


def _summarize(rows: pa.Table, failure: BaseException | None) -> pa.Table:
    """Return how many rows were sent, how many failed, one of their errors, and `failure`."""
    errors = rows["error"].drop_null().to_pylist()
    pickled = None if failure is None else pickle.dumps(failure)
    return pa.table(
        {
            "sent": [rows.num_rows],
            "failed": [len(errors)],
            "error": pa.array(errors[:1] or [None], pa.string()),
            "failure": pa.array([pickled], pa.binary()),
        }
    )
