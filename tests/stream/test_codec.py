"""Messages to answers and dead letters: their text passes through, and nothing that was sent poses as an answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twofold
from twofold._errors import UsageError
from twofold._model import load
from twofold._runner import Runner
from twofold._stream.codec import JsonCodec
from twofold._stream.messages import Letter, Message


@twofold.model
def parity(number: int = 0) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    return "Even" if number % 2 == 0 else "Odd"


RUNNER = Runner(load(parity))


def answered(
    *values: bytes, keep: list[str] | None = None, rename: dict[str, str] | None = None
) -> tuple[list[Letter], list[Letter]]:
    """The answers and the dead letters of these messages."""
    codec = JsonCodec(RUNNER.signature, keep, rename or {})
    messages = [Message(value, f"t/0/{n}", 0.0, b"key", (("h", b"1"),)) for n, value in enumerate(values)]
    read = codec.read(messages)
    letters = codec.write(read, RUNNER.run(read.batch))
    return letters, [codec.dead(m, read.failures[m.id]) for m in messages if m.id in read.failures]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (b'{"number":7}', b'{"number":7,"prediction":"Odd","_id":"t/0/0"}'),
        (b' {"number": 7, "big": 12345678901234567890.10}\r\n',
         b' {"number": 7, "big": 12345678901234567890.10,"prediction":"Odd","_id":"t/0/0"}'),
        (b"{}", b'{"prediction":"Even","_id":"t/0/0"}'),
        (b"{ \n }", b'{"prediction":"Even","_id":"t/0/0"}'),
        (b'{"number":7.0 }', b'{"number":7.0,"prediction":"Odd","_id":"t/0/0"}'),
        (b'{"_id":"old","number":1,"_error":{"code":"x"},"_position":1}',
         b'{"number":1,"prediction":"Odd","_id":"t/0/0"}'),
        (b'{"_own":[1,{"a":2}],"number":1}', b'{"_own":[1,{"a":2}],"number":1,"prediction":"Odd","_id":"t/0/0"}'),
        (b'{"number":1,"note":"a \\"prediction\\" of mine"}',
         b'{"number":1,"note":"a \\"prediction\\" of mine","prediction":"Odd","_id":"t/0/0"}'),
        (b'{"number":1,"in":{"prediction":5}}',
         b'{"number":1,"in":{"prediction":5},"prediction":"Odd","_id":"t/0/0"}'),
    ],
)  # fmt: skip
def test_an_answer_is_the_message_and_what_the_model_says(message: bytes, answer: bytes) -> None:
    letters, dead = answered(message)
    assert letters == [Letter(answer, "t/0/0", b"key", (("h", b"1"),))]
    assert dead == []


@pytest.mark.parametrize(
    ("keep", "answer"),
    [
        ([], b'{"prediction":"Odd","_id":"t/0/0"}'),
        (["b", "gone", "number"], b'{"b":[1, 2],"number":7,"prediction":"Odd","_id":"t/0/0"}'),
    ],
)
def test_keep_narrows_it(keep: list[str], answer: bytes) -> None:
    letters, _ = answered(b'{"number":7,"a":null,"b":[1, 2],"prediction":3}', keep=keep)
    assert [letter.value for letter in letters] == [answer]


def test_rename_gives_the_answer_another_name() -> None:
    letters, dead = answered(b'{"number":7,"prediction":3}', rename={"prediction": "parity"})
    assert [letter.value for letter in letters] == [b'{"number":7,"prediction":3,"parity":"Odd","_id":"t/0/0"}']
    assert not dead


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            b'{"number":13,"a":1.10}',
            b'{"number":13,"a":1.10,"_position":"t/0/0","_error":{"code":"bad_row","message":"thirteen is unlucky"}}',
        ),
        (
            b'{"number":"x"}',
            (
                b'{"number":"x","_position":"t/0/0",'
                b'"_error":{"code":"row_does_not_fit","message":"number: expected int64, got \\"x\\"",'
                b'"field":"number"}}'
            ),
        ),
        (
            b"nope",
            (
                b'{"_raw":"nope","_position":"t/0/0","_error":{"code":"not_json",'
                b'"message":"the message is not JSON: JSON is malformed: invalid character (byte 4)"}}'
            ),
        ),
    ],
)
def test_a_dead_letter_is_the_message_and_why(message: bytes, line: bytes) -> None:
    letters, dead = answered(message)
    assert letters == []
    code = json.loads(line)["_error"]["code"].encode()
    assert dead == [Letter(line, "t/0/0", b"key", (("h", b"1"), ("twofold-error", code)))]


def test_a_dead_letter_of_bytes() -> None:
    _, (dead,) = answered(b"\xff\x00")
    assert base64.b64decode(json.loads(dead.value)["_raw_base64"]) == b"\xff\x00"


def test_a_dead_letter_is_itself_a_message() -> None:
    _, (dead,) = answered(b'{"number":13,"who":"me"}')
    _, (again,) = answered(dead.value)
    assert again.value == dead.value


def test_a_field_of_the_answers_name_is_refused() -> None:
    letters, (dead,) = answered(b'{"number":1}', b'{"number":1,"prediction":"Even"}', b'{"number":2}')
    assert [letter.id for letter in letters] == ["t/0/0", "t/0/2"]
    error = json.loads(dead.value)["_error"]
    assert error["field"] == "prediction"
    assert "--rename prediction=NAME" in error["message"]


def test_neighbours_of_a_bad_message_are_answered_in_order() -> None:
    letters, dead = answered(b'{"number":1}', b"[]", b'{"number":13}', b'{"number":4}', b"", b'{"number":5}')
    assert [letter.id for letter in letters] == ["t/0/0", "t/0/3", "t/0/5"]
    assert [json.loads(letter.value)["prediction"] for letter in letters] == ["Odd", "Even", "Odd"]
    assert [letter.id for letter in dead] == ["t/0/1", "t/0/2", "t/0/4"]


@pytest.mark.parametrize(
    ("keep", "rename", "words"),
    [
        (None, {"label": "x"}, "--rename label=x: the model has no output 'label'. Its outputs: prediction."),
        (["prediction"], {}, "--keep prediction: the model's answer has that name too"),
        (None, {"prediction": "_id"}, "two fields of an answer would be '_id'"),
    ],
)
def test_names_that_cannot_be(keep: list[str] | None, rename: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        JsonCodec(RUNNER.signature, keep, rename)
    assert words in caught.value.message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text() | st.sampled_from(["_id", "_raw", "prediction"]), JSON, max_size=4),
       number=st.integers(-99, 99), ascii_only=st.booleans(), space=st.sampled_from(["", " ", "\n\t"]))  # fmt: skip
def test_whatever_else_a_message_holds_is_in_its_answer(
    fields: dict[str, Any], number: int, ascii_only: bool, space: str
) -> None:
    fields = {name: value for name, value in fields.items() if name.isprintable()} | {"number": number}
    message = (space + json.dumps(fields, ensure_ascii=ascii_only) + space).encode("utf-8", "replace")
    letters, dead = answered(message)
    if "prediction" in fields or number == 13:
        assert [letter.id for letter in dead] == ["t/0/0"]
        return
    sent = json.loads(message)
    kept = {name: value for name, value in sent.items() if name not in ("_id", "_position", "_error")}
    kept = {name: value for name, value in kept.items() if name not in ("_raw", "_raw_base64")}
    found = json.loads(letters[0].value)
    assert found == kept | {"prediction": "Odd" if number % 2 else "Even", "_id": "t/0/0"}
