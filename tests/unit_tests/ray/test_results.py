"""The folder of results and its keys."""

import hashlib
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest
from langchain_core.messages import HumanMessage

from langchain_voxtral.ray.results import ResultFolder, hash_values

ROW = {"prompt": "Hello!", "number": 1, "data": b"\0", "array": np.arange(2000)}


def rows(**columns: list[Any]) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


@pytest.fixture
def folder(tmp_path: Path) -> ResultFolder:
    return ResultFolder.open(str(tmp_path / "new" / "results"), None, {})


def test_a_hash_is_the_same_in_each_process() -> None:
    script = (
        "from langchain_core.messages import HumanMessage\n"
        "from langchain_voxtral.ray.results import hash_values\n"
        "print(hash_values({'b': 1, 'a': b'x'}, HumanMessage('Hello!', id='1'), {*'abcdef'}))"
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    own = hash_values({"a": b"x", "b": 1}, HumanMessage("Hello!", id="1"), {*"abcdef"})
    assert done.stdout == f"{own}\n"


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Hello"},
        {"number": 1.5},
        {"number": None},
        {"data": b"\1"},
        {"array": np.arange(2000) + (np.arange(2000) == 1000)},
        {"other": None},
        {"prompt": HumanMessage("Hello!")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_a_row_changes_its_hash(change: dict[str, Any]) -> None:
    assert hash_values(ROW) == hash_values(dict(ROW))
    assert hash_values(ROW | change) != hash_values(ROW)


@pytest.mark.parametrize(
    "value",
    [date(2026, 12, 1), b"x", {"a"}, Decimal("1.10")],
    ids=lambda value: type(value).__name__,
)
def test_a_value_has_another_hash_than_the_text_of_it(value: Any) -> None:
    texts = [str(value), repr(value), hashlib.sha256(b"x").hexdigest()]
    assert hash_values(value) not in [hash_values(text) for text in texts]


def test_the_shape_and_type_of_an_array_change_its_hash() -> None:
    numbers = np.arange(4)
    arrays = [numbers, numbers.reshape(2, 2), numbers.astype("int32"), numbers.astype("uint64")]
    assert len({hash_values(array) for array in arrays}) == 4


def test_an_object_that_shows_no_value_has_no_hash() -> None:
    class Opaque:
        pass

    with pytest.raises(TypeError, match="Opaque is no value that a key can be made of"):
        hash_values({"prompt": Opaque()})


def test_a_new_folder_is_empty(folder: ResultFolder) -> None:
    assert (folder.files(), folder.keys(), folder.failures()) == ([], set(), [])
    folder.drop_repeated([])
    folder.write(rows(key=[], error=[]))
    assert list(Path(folder.path).iterdir()) == []


def test_an_address_names_a_folder(tmp_path: Path) -> None:
    folder = ResultFolder.open((tmp_path / "results").as_uri(), None, {})
    folder.write(rows(key=["1"], error=[None]))
    assert folder.keys() == {"1"}
    assert len(list((tmp_path / "results").iterdir())) == 1


@pytest.mark.parametrize("output", ["~/results", Path("~/results"), Path("results")], ids=repr)
def test_a_path_names_a_folder(
    output: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert ResultFolder.open(output, None, {}).path == str(tmp_path / "results")
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_a_file_system_may_be_given(tmp_path: Path) -> None:
    files = pa.fs.SubTreeFileSystem(str(tmp_path), pa.fs.LocalFileSystem())
    folder = ResultFolder.open("results", files, {})
    folder.write(rows(key=["1"], error=[None]))
    assert ResultFolder.open("results", files, {}).keys() == {"1"}
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_answers_and_failures_are_files_of_their_own(folder: ResultFolder) -> None:
    folder.write(rows(key=["1", "2"], error=[None, "it failed"]))
    assert (len(folder.files()), folder.keys()) == (2, {"1"})
    [failures] = folder.failures()
    assert pa.parquet.read_table(failures).to_pylist() == [{"key": "2", "error": "it failed"}]


def test_rows_of_other_settings_are_left_alone(folder: ResultFolder) -> None:
    other = ResultFolder.open(folder.path, None, {"temperature": 1})
    for one, keys in ((folder, ["1", "2"]), (other, ["3", "4"])):
        one.write(rows(key=keys, error=[None, "it failed"]))
    assert (folder.keys(), other.keys()) == ({"1"}, {"3"})
    assert {*folder.files()}.isdisjoint(other.files())
    other.drop_repeated(other.failures())
    assert len(list(Path(folder.path).iterdir())) == 4


def test_a_file_that_was_not_written_to_its_end_is_ignored(folder: ResultFolder) -> None:
    folder.write(rows(key=["1"], error=[None]))
    [file] = Path(folder.path).iterdir()
    (file.parent / f".{file.name}x").write_bytes(file.read_bytes()[:20])
    assert folder.keys() == {"1"}
    assert pa.parquet.read_table(folder.path)["key"].to_pylist() == ["1"]


def test_failures_that_were_sent_again_are_dropped(folder: ResultFolder) -> None:
    folder.write(rows(key=["1", "2", "3"], error=["first"] * 3))
    old = folder.failures()
    folder.write(rows(key=["1", "2"], error=[None, "second"]))
    folder.drop_repeated(old)
    left = pa.parquet.read_table(folder.path).sort_by("key").to_pylist()
    assert left == [
        {"key": "1", "error": None},
        {"key": "2", "error": "second"},
        {"key": "3", "error": "first"},
    ]


def test_failures_keep_columns_that_others_lack(folder: ResultFolder) -> None:
    folder.write(rows(key=["1"], error=["first"], language=["de"]))
    folder.write(rows(key=["2"], error=["first"], speaker=["Ada"]))
    folder.drop_repeated(folder.failures())
    left = [row for file in folder.failures() for row in pa.parquet.read_table(file).to_pylist()]
    assert sorted(left, key=lambda row: row["key"]) == [
        {"key": "1", "error": "first", "language": "de"},
        {"key": "2", "error": "first", "speaker": "Ada"},
    ]


def test_a_file_of_failures_that_were_not_sent_again_stays(folder: ResultFolder) -> None:
    folder.write(rows(key=["1"], error=["first"]))
    [file] = old = folder.failures()
    folder.write(rows(key=["2"], error=[None]))
    folder.drop_repeated(old)
    assert folder.failures() == [file]
