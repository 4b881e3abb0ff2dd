"""The folder of results: Parquet files, in which each row has a key."""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
from langchain_core.load import dumps
from ray.data.extensions import ArrowPythonObjectType

KEY = "key"
"""The column of `join_key`."""

_ROW_LENGTH = 32
_SETTINGS_LENGTH = 8

_ANSWERS, _FAILURES = "answers", "failures"

_WITHOUT_VIEWS = {
    pa.string_view(): pa.large_string(),
    pa.binary_view(): pa.large_binary(),
}
"""Arrow does not filter views."""


def hash_values(*values: Any) -> str:
    """Return a hash of values, the same in each process.

    Raises:
        TypeError: An object has nothing to show for itself but its address.
    """
    text = json.dumps(values, sort_keys=True, default=_encode)
    return hashlib.sha256(text.encode()).hexdigest()


def join_key(row: str, file: str) -> str:
    """Return a key: a hash of a row and the settings, and one of the file that it names, if any."""
    return row[:_ROW_LENGTH] + file[:_ROW_LENGTH]


def _encode(value: Any) -> Any:
    """Return what JSON has for a value, with its type: it may look like a text."""
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, set | frozenset):  # its order is another in each process
        return {"set": sorted(hash_values(item) for item in value)}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:  # an image has many numbers
        return {"array": [value.dtype.str, value.shape, value.tobytes()]}
    if hasattr(value, "tolist"):  # a number of NumPy, or an array of objects
        return value.tolist()
    if "__repr__" not in {name for base in type(value).__mro__[:-1] for name in vars(base)}:
        raise TypeError(f"{type(value).__name__} is no value that a key can be made of.")
    return {type(value).__name__: repr(value)}


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """Rows that are done, in `answers-*.parquet`, and those that failed, in `failures-*.parquet`.

    Names of files have a hash of the settings, so that those of other settings are left alone. Each
    file is written as a whole: under a hidden name, which readers ignore, and then renamed.
    """

    filesystem: pa.fs.FileSystem
    path: str
    settings_hash: str

    @classmethod
    def open(
        cls,
        output: str | os.PathLike[str],
        filesystem: pa.fs.FileSystem | None,
        settings: Mapping[str, Any],
    ) -> "ResultFolder":
        """Return the folder of a path or an address, and make it."""
        scheme, _, path = os.fspath(output).rpartition("://")
        if filesystem is None and scheme:
            filesystem, path = pa.fs.FileSystem.from_uri(output)
        elif filesystem is None:
            # "~" as in pandas.read_parquet, which reads the folder
            path = str(Path(output).expanduser().absolute())
            filesystem = pa.fs.LocalFileSystem()
        filesystem.create_dir(path)
        return cls(filesystem, path, hash_values(settings)[:_SETTINGS_LENGTH])

    def files(self) -> list[str]:
        """Return the paths of all files."""
        return self._files(_ANSWERS) + self._files(_FAILURES)

    def keys(self) -> set[str]:
        """Return the keys of the rows that are done."""
        return set(self._read(self._files(_ANSWERS), columns=[KEY])[KEY].to_pylist())

    def write(self, rows: pa.Table) -> None:
        """Write rows: those that are done, and those that failed."""
        is_done = pa.compute.is_null(rows["error"])
        for kind, mask in ((_ANSWERS, is_done), (_FAILURES, pa.compute.invert(is_done))):
            if (part := rows.filter(mask)).num_rows:
                file = f"{self._prefix(kind)}{uuid.uuid4().hex}.parquet"
                pa.parquet.write_table(part, f"{self.path}/.{file}", filesystem=self.filesystem)
                self.filesystem.move(f"{self.path}/.{file}", f"{self.path}/{file}")

    def failures(self) -> list[str]:
        """Return the files of rows that failed."""
        return self._files(_FAILURES)

    def drop_repeated(self, files: Sequence[str]) -> None:
        """Drop the rows of these files of failures that another file has, too.

        Their files may have changed, or could not be read, so keys are equal only in part.
        """
        others = [*self._files(_ANSWERS), *(set(self._files(_FAILURES)) - set(files))]
        sent = self._rows_of(others)
        is_repeated = pa.compute.is_in(sent, self._rows_of(files).combine_chunks())
        repeated = set(sent.filter(is_repeated).to_pylist())
        for file in files:  # one at a time: their columns may differ
            rows = self._read([file])
            is_left = [row not in repeated for row in _row_of(rows[KEY]).to_pylist()]
            if not all(is_left):
                self.write(rows.filter(pa.array(is_left)))
                self.filesystem.delete_file(file)

    def _rows_of(self, files: Sequence[str]) -> pa.ChunkedArray:
        return _row_of(self._read(files, columns=[KEY])[KEY])

    def _files(self, kind: str) -> list[str]:
        files = self.filesystem.get_file_info(pa.fs.FileSelector(self.path))
        prefix = self._prefix(kind)
        return sorted(file.path for file in files if file.base_name.startswith(prefix))

    def _prefix(self, kind: str) -> str:
        return f"{kind}-{self.settings_hash}-"

    def _read(self, files: Sequence[str], **options: Any) -> pa.Table:
        schema = None if files else pa.schema({KEY: pa.string()})
        dataset = pa.dataset.dataset(files, schema, "parquet", filesystem=self.filesystem)
        return dataset.to_table(**options)


def _row_of(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the part of keys that is of the row and the settings."""
    return pa.compute.utf8_slice_codeunits(keys, 0, _ROW_LENGTH)


def storable(rows: pa.Table) -> pa.Table:
    """Return rows as files hold them: columns that Parquet does not take are LangChain's JSON."""
    for at, field in enumerate(rows.schema):
        if field.type in _WITHOUT_VIEWS:
            rows = rows.set_column(at, field.name, rows[at].cast(_WITHOUT_VIEWS[field.type]))
        elif not _is_storable(rows.select([at]).slice(0, 1)):
            texts = [dumps(value) for value in rows[at].to_pylist()]
            rows = rows.set_column(at, field.name, pa.array(texts, pa.string()))
    return rows


def _is_storable(cell: pa.Table) -> bool:
    if isinstance(cell.schema[0].type, ArrowPythonObjectType):  # Ray reads no pickles of files
        return False
    try:
        rows = cell.filter(pa.array([True] * cell.num_rows, pa.bool_()))
        pa.parquet.write_table(rows, pa.BufferOutputStream())
    except pa.ArrowNotImplementedError:  # a struct without fields, a calendar interval, ...
        return False
    return True
