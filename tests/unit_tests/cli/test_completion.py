"""Completion of the command, in real shells."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_voxtral.cli import main

pytest.importorskip("argcomplete")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
BASH = """\
eval "$(langchain-voxtral --completion bash)"
COMP_LINE="$1" COMP_POINT="${#1}" COMP_TYPE=9
_python_argcomplete langchain-voxtral
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """\
langchain-voxtral --completion fish | source
complete -C $argv[1]
"""
ZSH = """\
autoload -Uz compinit && compinit -u -D
eval "$(langchain-voxtral --completion zsh)"
_describe() { print -l -- ${(P)2} }
words=(${=1}) BUFFER=$1 CURSOR=${#1}
_python_argcomplete
"""


def completions(shell: str, line: str, folder: Path) -> set[str]:
    """Return what a shell offers at the end of a line, without descriptions."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    script = {"bash": BASH, "fish": FISH, "zsh": ZSH}[shell]
    arguments = ["-c", script, line] if shell == "fish" else ["-c", script, shell, line]
    done = subprocess.run(  # noqa: S603 - our own command
        [shell, *arguments],
        env=os.environ | {"PATH": PATH},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return {text.replace("\t", ":").split(":")[0].rstrip() for text in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("shell", "typed", "found"),
    [
        ("bash", "tr", "transcribe"),
        ("bash", "transcribe --format j", "json"),
        ("bash", "transcribe ta", "talk.mp3"),
        ("fish", "chat --max-t", "--max-tokens"),
        ("zsh", "chat --max-t", "--max-tokens"),
    ],
)
def test_shells_complete_commands_flags_choices_and_files(
    shell: str, typed: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / "talk.mp3").touch()
    assert completions(shell, f"langchain-voxtral {typed}", tmp_path) == {found}


def test_without_argcomplete_the_way_to_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)  # not installed
    with pytest.raises(SystemExit):
        main(["--completion", "bash"])

    assert capsys.readouterr().err == (
        "langchain-voxtral: --completion needs argcomplete: pip install "
        '"langchain-voxtral[completion]" (see langchain-voxtral --help)\n'
    )
