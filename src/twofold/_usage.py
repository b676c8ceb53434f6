"""What a model that yields may say after its last piece: what the answer cost, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Piece", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Yield it last, from a model annotated `-> Iterator[str | twofold.Usage]`; it is not part of the answer.

    Whoever asked for a stream gets it at its end; a chat completion has its numbers as `usage`. In batch it is dropped.

    prompt_tokens, completion_tokens   how many tokens went in and came out
    finish_reason                      "stop": the answer is complete; "length": cut off at max_tokens
    """

    prompt_tokens: int
    completion_tokens: int
    finish_reason: str = "stop"


Piece: TypeAlias = "str | Usage"
