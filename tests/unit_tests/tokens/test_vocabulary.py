"""The vocabulary, compared with `mistral-common`'s own tokenizer."""

import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import mistral_common
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from support.conversations import texts

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError
from langchain_voxtral.tokens import vocabulary

SAMPLES = [
    "",
    " ",
    "Ça va? नमस्ते 😀\n```py\nx=1\n```",
    "[INST]Hello![/INST]</s>",
    "\ud800",
    "a" * 10_000 + " " * 10_000 + "\n" * 1_000,
    "1234567890 \t\r\n  ½ ﬁ é e\u0301 \u2060\x00",
]


@cache
def tekkenizer() -> Tekkenizer:
    return Tekkenizer.from_file(
        Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    )


def check(text: str) -> None:
    expected = tekkenizer().encode(text, bos=False, eos=False)
    assert vocabulary.encode(text) == expected
    assert vocabulary.count(text) == vocabulary.count(text) == len(expected)


@pytest.mark.parametrize("text", SAMPLES)
def test_a_text_has_the_tokens_of_mistral_common(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.text() | texts)
def test_any_text_has_the_tokens_of_mistral_common(text: str) -> None:
    check(text)


def test_counts_of_many_texts_are_right_though_few_are_kept() -> None:
    numbers = range(3 * vocabulary._MAX_COUNTS)
    assert [vocabulary.count("a " * (number % 7)) for number in numbers] == [
        len(vocabulary.encode("a " * (number % 7))) for number in numbers
    ]
    for number in numbers:
        vocabulary.count(str(number))
    assert len(vocabulary._counts) <= vocabulary._MAX_COUNTS


def test_more_white_space_than_tiktoken_takes_is_an_error() -> None:
    """Its regular expressions would end the thread with a panic."""
    assert len(vocabulary.encode("\n" * 10 + "x" * 100_000)) > 100
    for count in (vocabulary.encode, vocabulary.count):
        with pytest.raises(VoxtralInvalidRequestError) as raised:
            count("x" + " " * 1_000_000)
        assert raised.value.message == (
            "The tokens of a text with 900,000 white space characters in a row cannot be counted: "
            "shorten the white space."
        )


def test_a_release_without_the_vocabulary_is_as_none_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mistral_common").mkdir()
    (tmp_path / "mistral_common" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "mistral_common")
    monkeypatch.syspath_prepend(tmp_path)
    vocabulary._load.cache_clear()
    assert not vocabulary.is_installed()
    with pytest.raises(VoxtralMissingExtraError, match=r"needs tekken_240911\.json of mistral"):
        vocabulary.encode("Hello!")
    monkeypatch.undo()
    assert vocabulary.is_installed()
    assert vocabulary.encode("Hello!") == [22177, 1033]


def test_threads_load_the_vocabulary_once() -> None:
    vocabulary._load.cache_clear()
    start, loaded = threading.Barrier(4), list[object]()

    def load() -> None:
        start.wait()
        loaded.append(vocabulary._encoding())

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4
    assert len(set(map(id, loaded))) == 1


def test_counting_does_not_import_mistral_common() -> None:
    script = (
        "import sys; from langchain_voxtral import ChatVoxtral; chat = ChatVoxtral(api_key='k'); "
        "print(chat.get_num_tokens('Hello!'), 'mistral_common' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 False\n"
