"""Users' code with `mypy --strict`."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_mypy_accepts_valid_code_and_rejects_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistakes carry `type: ignore` comments, which --strict reports where nothing is wrong."""
    api = pytest.importorskip("mypy.api")
    monkeypatch.setenv("MYPYPATH", str(HERE.parents[2]))
    options = ["--strict", "--config-file=", f"--python-executable={sys.executable}"]
    files = [str(HERE / "typing_examples.py"), str(HERE / "typing_mistakes.py")]
    output, errors, status = api.run([*options, f"--cache-dir={tmp_path}", *files])
    assert (output, errors, status) == ("Success: no issues found in 2 source files\n", "", 0)
