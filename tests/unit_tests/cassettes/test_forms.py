"""Forms and recordings in requests: how they are written and compared."""

import base64
import hashlib
import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cassettes.audio import boundary_of, digest_of, form_in, without_sound
from support.cassettes.replay import whole_body
from support.multipart_forms import encode_multipart
from vcr.request import Request

from langchain_voxtral.protocol.form_data import FormData

SOUND = b"RIFF\r\n--B\r\n\0\xff"
BODY = (
    b'--B\r\nContent-Disposition: form-data; name="task"\r\n\r\ntranscribe\r\n'
    b'--B\r\nContent-Disposition: form-data; name="audio"; filename="audio.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\r\n\r\n--B--\r\n"
)
TYPE = "multipart/form-data; boundary=B"


def _request(body: bytes, content_type: str = TYPE) -> Request:
    return Request("POST", "http://h/", body, {"content-type": content_type})


def _match(one: Request, other: Request) -> bool:
    try:
        whole_body(one, other)
    except AssertionError:
        return False
    return True


def test_a_form_is_its_fields_and_the_digest_of_its_file() -> None:
    assert form_in(BODY, "B") == {
        "task": "transcribe",
        "audio": {
            "name": "audio.wav",
            "type": "audio/wav",
            "bytes": 6,
            "sha256": hashlib.sha256(b"RIFF\r\n").hexdigest(),
        },
    }


_words = st.text(st.characters(exclude_categories=["Cs"]))
_names = st.text(st.sampled_from("abc_[]"), min_size=1)


@given(st.lists(st.tuples(_names, _words)), st.binary())
def test_every_form_is_parsed_as_sent(fields: list[tuple[str, str]], sound: bytes) -> None:
    body, content_type = encode_multipart(FormData(fields, "a file", "a.wav", "audio/wav", sound))
    boundary = boundary_of(content_type)
    assert boundary is not None
    parsed = form_in(body, boundary)
    assert parsed.pop("a file") == {"name": "a.wav", "type": "audio/wav", **digest_of(sound)}
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    assert parsed == {name: one if len(one) > 1 else one[0] for name, one in values.items()}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:-2],
        BODY[2:],
        BODY.replace(b"name=", b"nom="),
        BODY.replace(b"\r\n\r\ntranscribe", b"\r\ntranscribe"),
        BODY.replace(b"transcribe", b"\xff"),
    ],
)
def test_a_malformed_form_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|utf-8"):
        form_in(body, "B")


def test_boundaries_of_forms_are_not_compared() -> None:
    other = _request(BODY.replace(b"--B", b"--another"), TYPE.replace("=B", '="another"'))
    assert _match(_request(BODY), other)


def test_forms_with_any_other_difference_do_not_match() -> None:
    changes = [
        (b"transcribe", b"translate"),
        (b'"task"', b'"tasks"'),
        (b'"audio"', b'"file"'),
        (b"audio.wav", b"audio.mp3"),
        (b"audio/wav", b"audio/mpeg"),
        (b"RIFF", b"RIFX"),
        (b"RIFF\r\n", b"RIFF\n"),
        (b'; filename="audio.wav"', b""),
    ]
    bodies = [BODY, *(BODY.replace(old, new) for old, new in changes)]
    assert len(set(bodies)) == len(bodies)
    same = [(a, b) for a, b in combinations(bodies, 2) if _match(_request(a), _request(b))]
    assert same == []


def test_a_repeated_field_does_not_match_a_single_one() -> None:
    field = b'--B\r\nContent-Disposition: form-data; name="task"\r\n\r\ntranscribe\r\n'
    assert not _match(_request(field + BODY), _request(BODY))
    assert form_in(field + BODY, "B")["task"] == ["transcribe", "transcribe"]


def test_json_of_a_forms_fields_does_not_match_the_form() -> None:
    parsed = json.dumps(form_in(BODY, "B")).encode()
    assert _match(_request(BODY), _request(parsed, "multipart/form-data"))
    assert not _match(_request(parsed, "application/json"), _request(parsed, "multipart/form-data"))


def test_an_unknown_recorded_file_matches_any_file() -> None:
    recorded = _request(b'{"task": "transcribe", "audio": {}}', "multipart/form-data")
    assert _match(_request(BODY), recorded)
    assert _match(_request(BODY.replace(b"RIFF", b"RIFX")), recorded)
    no_file = BODY.replace(b'; filename="audio.wav"', b"")
    for other in (no_file, BODY.replace(b'"audio"', b'"file"'), BODY.replace(b"task", b"tusk")):
        assert not _match(_request(other), recorded)


def test_audio_in_json_is_replaced_by_length_and_hash() -> None:
    def part(data: object) -> dict[str, object]:
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

    sound = base64.b64encode(SOUND).decode()
    assert without_sound({"messages": [{"content": [part(sound), {"data": sound}]}]}) == {
        "messages": [{"content": [part(digest_of(SOUND)), {"data": sound}]}]
    }
    for other in ("no base64!", "é", 5, None, digest_of(SOUND)):
        assert without_sound(part(other)) == part(other)
    assert without_sound({"input_audio": sound}) == {"input_audio": sound}
