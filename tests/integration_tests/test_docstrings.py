"""The examples of the classes' docstrings, run on the embedded engine as they are printed."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.speech_samples import encoded

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
)

BLOCK = re.compile(r"```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("documented", "printed"),
    [
        (ChatVoxtral, "'name': 'get_weather', 'args': {'city':"),
        (VoxtralLLM, "'total_tokens':"),
        (VoxtralTranscriptionParser, "00:00:00,"),
        (VoxtralTranscriptionLoader, "your country"),
        (VoxtralTranscriber, ""),
    ],
)
def test_the_examples_of_a_docstring_run_one_after_the_other(
    documented: type,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("talk.mp3").write_bytes(encoded("mp3"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in BLOCK.findall(documented.__doc__ or ""):
        exec(dedent(block), names)  # noqa: S102 - an example of ours
    shown = capsys.readouterr().out
    assert shown.strip()
    assert printed in shown
