"""Messages of the package, as the command says them."""

import ast
import re
from pathlib import Path

import pytest

import langchain_voxtral
from langchain_voxtral.cli.wording import PHRASES, WITHOUT_FLAGS, in_flags


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("give base_url='http://x/v1', or more", "give --base-url http://x/v1, or more"),
        ("max_tokens=5 is too much", "--max-tokens 5 is too much"),
        ("check model=, base_url= and server=.", "check --model, --base-url and --server."),
        ("Check base_url, lower max_tokens.", "Check --base-url, lower --max-tokens."),
        ("take speakers=True or speakers=", "take --speakers or --speakers"),
        ("with task='translate'", "with --translate"),
        ("ask in a chat (endpoint='chat')", "ask in a chat (--endpoint chat)"),
        ("call Something(model='x')", "call Something(model='x')"),
        ("wait (retry_after says how long) and ask (base_url=)", "wait and ask (--base-url)"),
        ("nothing for 5 s (stream_idle_timeout= sets the limit).", "nothing for 5 s."),
        ("within 5 s (timeout=(connect, read) sets it): see (x)", "within 5 s: see (x)"),
        ("my_model=3 and a-server=4", "my_model=3 and a-server=4"),
        ('check base_url=. The server said: "model= is bad"', None),
    ],
)
def test_arguments_are_named_by_their_flags(message: str, shown: str | None) -> None:
    quoted = 'check --base-url. The server said: "model= is bad"'
    assert in_flags(message) == (shown or quoted)


@pytest.mark.parametrize("phrase", [*PHRASES, *WITHOUT_FLAGS])
def test_each_phrase_is_one_of_the_package(phrase: str) -> None:
    assert any(phrase in text for text in _TEXTS)


def _texts() -> list[str]:
    """Return all strings of the package; of f-strings what is between the values."""
    folder = Path(langchain_voxtral.__file__).parent
    trees = [
        ast.parse(path.read_text("utf-8"))
        for path in folder.rglob("*.py")
        if path.parent.name != "cli"
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    joined = [_joined(node) for node in nodes if isinstance(node, ast.JoinedStr)]
    return [re.sub(r"\s+", " ", text) for text in [*texts, *joined] if isinstance(text, str)]


def _joined(node: ast.JoinedStr) -> str:
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values
    )


_TEXTS = _texts()


def test_names_of_files_stay_as_they_are() -> None:
    names = ["a", "stop='x'", "model='x' stop='x'.wav"]
    message = f"store: {names[2]} could not be kept (check base_url=)"
    assert in_flags(message, names) == f"store: {names[2]} could not be kept (check --base-url)"
