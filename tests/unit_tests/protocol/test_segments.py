"""Segments, words and speakers in responses of speech endpoints."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_voxtral.protocol.segments import Segment, Word, read_segments

TEXT = "Hello there. Good bye."
HELLO, BYE = Segment(0.0, 1.0, " Hello there."), Segment(1.0, 2.0, " Good bye.")
WORDS = (
    Word("Hello", 0.0, 0.4),
    Word("there.", 0.5, 0.9),
    Word("Good", 1.0, 1.4),
    Word("bye.", 1.5, 1.9),
)


def item(part: Segment | Word, text: str = "text", **more: Any) -> dict[str, Any]:
    return {"start": part.start, "end": part.end, text: part.text, **more}


def read(text: str = TEXT, /, **fields: Any) -> tuple[tuple[Segment, ...], str | None]:
    return read_segments({"text": text, **fields}, text, timestamps="word", max_seconds=2.0)


def with_words(segment: Segment, *words: Word, **more: Any) -> Segment:
    return Segment(segment.start, segment.end, segment.text, words=words, **more)


WHOLE = (with_words(HELLO, *WORDS[:2]), with_words(BYE, *WORDS[2:]))
IN_SEGMENTS = [
    item(HELLO, words=[item(word, "word") for word in WORDS[:2]]),
    item(BYE, words=[item(word) for word in WORDS[2:]]),
]


@pytest.mark.parametrize(
    "fields",
    [
        {"segments": [item(HELLO), item(BYE)], "words": [item(word) for word in WORDS]},
        {"segments": [item(HELLO), item(BYE)], "words": [item(word, "word") for word in WORDS]},
        {"segments": IN_SEGMENTS},
        {"segments": IN_SEGMENTS, "words": None},
        {"segments": IN_SEGMENTS, "words": []},
    ],
)
def test_words_are_read_wherever_a_server_puts_them(fields: dict[str, Any]) -> None:
    assert read(**fields) == (WHOLE, None)
    segments = read_segments(fields, TEXT, timestamps="segment")
    assert segments == ((HELLO, BYE), None)
    assert read_segments(fields, TEXT, timestamps=None) == ((), None)


def test_a_word_belongs_where_its_middle_is_or_else_to_the_nearest_segment() -> None:
    segments = [Segment(0.2, 0.5, "a b c"), Segment(1.0, 1.5, "d e f")]
    words = [
        Word("a", 0.0, 0.1),
        Word("b", 0.4, 0.5),
        Word("c", 0.6, 0.8),
        Word("d", 0.75, 0.9),
        Word("e", 0.9, 1.2),
        Word("f", 1.8, 2.0),
    ]
    found, _ = read("a b c d e f", segments=[*map(item, segments)], words=[*map(item, words)])
    assert [[word.text for word in segment.words] for segment in found] == [
        ["a", "b", "c"],
        ["d", "e", "f"],
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            [item(WORDS[0]), {"start": 0.5, "end": None, "text": "there."}],
            "words[1] whose end is not a number of seconds",
        ),
        (
            [item(WORDS[0]), item(Word("there.", 2.5, 3.0))],
            "words[1] from 2.5 s to 3.0 s, which begins after the 2.0 s that were sent",
        ),
        (
            [item(WORDS[1]), item(WORDS[0])],
            "words[1] from 0.0 s to 0.4 s, out of order: the one before begins at 0.5 s",
        ),
        ([item(word) for word in WORDS[:3]], "words that leave out a part of the text"),
        ([{"start": 0, "end": 0, "word": TEXT}], "words that all last no time"),
        ([{"start": 0, "end": 1}], "words[0] without a text"),
        ({"0": 1}, "words that are not a list"),
    ],
)
def test_impossible_words_leave_the_segments_and_are_described(words: Any, problem: str) -> None:
    segments = [item(HELLO), item(BYE)]
    assert read(segments=segments, words=words) == ((HELLO, BYE), problem)
    assert read(words=words) == ((), problem)
    both = f"segments that are not a list and {problem}"
    assert read(segments="x", words=words) == ((), both)


@pytest.mark.parametrize(
    "segments",
    [None, [], [item(Segment(0.0, 2.0, " "))], [item(Segment(0.0, 3.0, "x", id=1), end=None)]],
)
def test_without_possible_segments_words_make_sentences(segments: Any) -> None:
    made, problem = read(segments=segments, words=[item(word) for word in WORDS])
    assert made == (
        Segment(0.0, 0.9, "Hello there.", words=WORDS[:2]),
        Segment(1.0, 1.9, "Good bye.", words=WORDS[2:]),
    )
    assert problem in {"segments[0] whose end is not a number of seconds", None}


@pytest.mark.parametrize(
    ("text", "words", "made"),
    [
        ("It is. So", [" It", " is.", " So"], ["It is.", "So"]),  # as OpenAI writes them
        ("你好。再见", ["你", "好。", "再", "见"], ["你好。", "再见"]),
        (
            "我用 Python 写。好",
            ["我", "用", "Python", "写", "。", "好"],
            ["我用 Python 写。", "好"],
        ),
        ("Oh, no. Yes!", ["Oh", ",", " ", "no", ".", "Yes", "!"], ["Oh, no.", "Yes!"]),
        ("“Oh, no.” (Yes.) “So”", ["Oh", "no", "Yes", "So"], ["“Oh, no.” (Yes.) “So”"]),
        ("Oh, no. (Yes", ["Oh", "no", "Yes"], ["Oh, no.", "(Yes"]),
        ("It is 5.", ["It", "is", "five."], ["It is five."]),
        ("a b", ["lang:en", "[TRANSCRIBE]a", "b"], ["[TRANSCRIBE]a b"]),
        ("a b", ["lang:en[TRANSCRIBE]", "a", "b"], ["a b"]),
    ],
)
def test_words_become_sentences_in_the_notation_of_the_text(
    text: str, words: list[str], made: list[str]
) -> None:
    items = [{"start": at / 10, "end": at / 10 + 0.1, "word": one} for at, one in enumerate(words)]
    assert [segment.text for segment in read(text, words=items)[0]] == made


PARTS = st.tuples(
    st.sampled_from(["", " ", "“", ", ", "。", "\n"]),
    st.sampled_from(["a", " B", "ß.", "好", ",", "“a", "?"]),
)


@settings(max_examples=40)
@given(parts=st.lists(PARTS, max_size=8), rest=st.sampled_from(["", ".", "” "]))
def test_sentences_of_words_are_the_text(parts: list[tuple[str, str]], rest: str) -> None:
    text = "".join(map("".join, parts)) + rest
    words = [{"start": at, "end": at + 1, "word": word} for at, (_, word) in enumerate(parts)]
    made, problem = read_segments({"words": words}, text, timestamps="word")
    assert problem is None
    if parts:
        assert "".join("".join(one.text for one in made).split()) == "".join(text.split())


def test_sentences_of_words_end_at_pauses_at_speakers_and_after_15_seconds() -> None:
    times = [0, 1, 2.5, 4, 10, 19, 20, 21]
    names = ["a", "a", "a", "a", "a", "a", "b", "a"]
    words = [
        {"start": time, "end": time + 1, "word": str(at), "speaker_id": name}
        for at, (time, name) in enumerate(zip(times, names, strict=True))
    ]
    made, _ = read_segments({"words": words}, "0 1 2 3 4 5 6 7", timestamps="word")
    assert [(one.speaker, one.text) for one in made] == [
        ("a", "0 1 2 3"),
        ("a", "4"),
        ("a", "5 7"),
        ("b", "6"),
    ]
    tight = [{"start": at, "end": at + 1, "word": "a"} for at in range(40)]
    made, _ = read_segments({"words": tight}, "a" * 40, timestamps="word")
    assert [(one.start, one.end) for one in made] == [(0, 15), (15, 30), (30, 40)]


@pytest.mark.parametrize(
    ("fields", "speaker"),
    [
        ({"speaker_id": "speaker_1"}, "speaker_1"),
        ({"speaker": 0}, "0"),
        ({"speaker": "Zoé\n  B."}, "Zoé B."),
        ({"speaker": "", "speaker_id": 2}, "2"),
        ({"speaker": " "}, None),
        ({"speaker": True}, None),
        ({"speaker": ["a"]}, None),
        ({}, None),
    ],
)
def test_a_speaker_has_a_name_in_one_line_or_none(
    fields: dict[str, Any], speaker: str | None
) -> None:
    segments = [item(HELLO, **fields), item(BYE)]
    words = [item(word) for word in WORDS]
    [first, second], problem = read(segments=segments, words=words)
    assert (first.speaker, [word.speaker for word in first.words]) == (speaker, [speaker] * 2)
    assert (second.speaker, problem) == (None, None)


def test_different_speakers_may_speak_at_once() -> None:
    a = [item(Segment(0.0, 1.0, "Well,"), speaker="A"), item(Segment(1.4, 2.0, "yes"), speaker="A")]
    b = [item(Segment(0.5, 1.5, "Hello"), speaker="B")]
    words = [
        item(Word("Well,", 0.1, 0.9), speaker="A"),
        item(Word("Hello", 0.6, 1.4), speaker="B"),
        item(Word("yes", 1.4, 1.5), speaker="A"),
    ]
    made, problem = read("Well, Hello yes", segments=[*a, *b], words=words)
    assert problem is None
    assert [(one.start, one.speaker, [word.text for word in one.words]) for one in made] == [
        (0.0, "A", ["Well,"]),
        (0.5, "B", ["Hello"]),
        (1.4, "A", ["yes"]),
    ]
    inside = [
        each
        | {"words": [word | {"speaker": None} for word in words if each["text"] == word["text"]]}
        for each in [*a, *b]
    ]
    assert read("Well, Hello yes", segments=inside) == (made, None)
    one_speaker = [each | {"speaker": "A"} for each in [*a[:1], *b]]
    assert read("Well, Hello", segments=one_speaker) == (
        (),
        "segments[1] from 0.5 s to 1.5 s, which begins before the end of the one before",
    )


def test_a_word_without_a_speaker_belongs_to_who_speaks_then() -> None:
    long = item(Segment(0.0, 2.0, "a b c d"), speaker="A")
    short = item(Segment(0.5, 0.9, "x"), speaker="B")
    times = {"a": 0.1, "x": 0.6, "b": 1.0, "c": 1.3, "d": 1.7}
    words = [item(Word(name, start, start + 0.2)) for name, start in times.items()]
    made, _ = read("a x b c d", segments=[long, short], words=words)
    assert [(one.speaker, [word.text for word in one.words]) for one in made] == [
        ("A", ["a", "b", "c", "d"]),
        ("B", ["x"]),
    ]


def test_words_in_the_place_of_segments_make_sentences() -> None:
    segments = [item(word, speaker_id="s1") for word in WORDS]
    made, problem = read_segments(
        {"segments": segments}, TEXT, timestamps="word", words_replace_segments=True
    )
    assert problem is None
    assert [(one.text, one.speaker, one.start, one.end) for one in made] == [
        ("Hello there.", "s1", 0.0, 0.9),
        ("Good bye.", "s1", 1.0, 1.9),
    ]
    assert [word.text for one in made for word in one.words] == [word.text for word in WORDS]


LENGTHS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([None, "A", "B"])), max_size=12)


@given(words=LENGTHS, segments=LENGTHS, has_segments=st.booleans())
def test_every_possible_word_is_in_one_segment(
    words: list[tuple[int, str | None]],
    segments: list[tuple[int, str | None]],
    has_segments: bool,
) -> None:
    def timed(lengths: list[tuple[int, str | None]], name: str) -> list[dict[str, Any]]:
        ends = [sum(length for length, _ in lengths[: at + 1]) for at in range(len(lengths))]
        return [
            {"start": end - length, "end": end, "text": f"{name}{at}", "speaker": speaker}
            for at, ((length, speaker), end) in enumerate(zip(lengths, ends, strict=True))
        ]

    document = {
        "words": timed(words, "w"),
        "segments": timed(segments, "s") if has_segments else None,
    }
    made, problem = read_segments(json.loads(json.dumps(document)), "", timestamps="word")
    if problem is None and (made or not has_segments):
        assert sorted(word.text for one in made for word in one.words) == sorted(
            word["text"] for word in document["words"] or ()
        )
    assert [one.start for one in made] == sorted(one.start for one in made)
    assert all(one.start <= one.end for one in made)
