"""What a new version of a model may change without breaking those who call it."""

from __future__ import annotations

import pytest

from twofold._signature import (
    Choice,
    Constraints,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    broken_promises,
)

N = Field("n", Int())
OUT = Field("label", String())


def broken(old: Field | tuple[Field, ...], new: Field | tuple[Field, ...]) -> list[str]:
    """Of inputs."""
    before, after = (one if isinstance(one, tuple) else (one,) for one in (old, new))
    return broken_promises(Signature(before, (OUT,)), Signature(after, (OUT,)))


def broken_output(old: Field | tuple[Field, ...], new: Field | tuple[Field, ...]) -> list[str]:
    before, after = (one if isinstance(one, tuple) else (one,) for one in (old, new))
    return broken_promises(Signature((N,), before), Signature((N,), after))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (N, N),
        (Field("n", Int(32)), Field("n", Int(64))),
        (N, Field("n", Float())),
        (Field("n", Float(32)), Field("n", Float(64))),
        (N, Field("n", Int(), nullable=True)),
        (N, Field("n", Int(), default=1)),
        (N, (N, Field("more", String(), default="x"))),
        (Field("n", Int(), constraints=Constraints(ge=0)), N),
        (Field("n", Int(), constraints=Constraints(ge=0, le=5)), Field("n", Int(), constraints=Constraints(ge=-1))),
        (Field("c", Choice(("a", "b"))), Field("c", Choice(("a", "b", "c")))),
        (Field("l", List(Field("item", Int(8)))), Field("l", List(Field("item", Int(16))))),
        (Field("s", Struct((N,))), Field("s", Struct((N, Field("m", Int(), default=0))))),
    ],
)
def test_what_accepts_more_keeps_its_promise(old: Field, new: Field | tuple[Field, ...]) -> None:
    assert broken(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (N, Field("m", Int(), default=0), "the input 'n' is gone"),
        (N, (N, Field("m", Int())), "the input 'm' is new and required"),
        (N, Field("n", Int(32)), "the input 'n' was int64 and is int32"),
        (N, Field("n", String()), "the input 'n' was int64 and is string"),
        (Field("n", Int(), nullable=True), N, "the input 'n' may not be null any more"),
        (Field("n", Int(), default=3), N, "the input 'n' is required now"),
        (N, Field("n", Int(), constraints=Constraints(lt=9)), "the input 'n' has narrower constraints"),
        (
            Field("n", Int(), constraints=Constraints(ge=0)),
            Field("n", Int(), constraints=Constraints(ge=1)),
            "the input 'n' has narrower constraints",
        ),
        (Field("s", String()), Field("s", String(), constraints=Constraints(pattern="a")), "narrower constraints"),
        (Field("c", Choice(("a", "b"))), Field("c", Choice(("a",))), 'was one of "a", "b" and is one of "a"'),
        (Field("t", Tensor(Float(32), (3,))), Field("t", Tensor(Float(32), (4,))), "was float32[3] and is float32[4]"),
        (Field("s", Struct((N,))), Field("s", Struct((N, Field("m", Int())))), "the input 's' was struct of n"),
        (Field("s", Struct((N, OUT))), Field("s", Struct((N,))), "the input 's' was struct of n, label"),
    ],
)
def test_what_accepts_less_breaks_it(old: Field, new: Field | tuple[Field, ...], words: str) -> None:
    (found,) = [text for text in broken(old, new) if words in text]
    assert found


def test_answers_may_say_more_and_no_less() -> None:
    assert broken_output(OUT, (OUT, N)) == []
    assert broken_output(Field("x", Float()), Field("x", Int())) == []
    assert broken_output(Field("s", Struct((N,))), Field("s", Struct((N, OUT)))) == []
    assert broken_output(Field("x", Int()), Field("x", Float())) == ["the output 'x' was int64 and is float64"]
    assert broken_output(OUT, Field("label", String(), nullable=True)) == ["the output 'label' may be null now"]
    assert broken_output((OUT, N), OUT) == ["the output 'n' is gone"]


def test_nulls_that_were_nan() -> None:
    field = Field("x", Float())
    old, new = Signature((field,), (OUT,), nulls_as_nan=True), Signature((field,), (OUT,))
    assert broken_promises(old, new) == ["a null is not taken as NaN any more"]
    assert broken_promises(new, old) == []
