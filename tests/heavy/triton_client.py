"""Run by test_oip_tritonclient.py with tritonclient's own Python: HOST:PORT of HTTP and of gRPC. Prints "ok"."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

NUMBERS = np.array([1, 2], np.int64)
AMOUNTS, CURRENCIES = np.array([100.0, 250.0]), np.array(["EUR", "USD"], object)
ITEMS, NOTES = np.array([["a", "b"], ["c", "dé"]], object), np.array(["null", '"x"'], object)


def tensor(of: Any, name: str, array: Any, datatype: str, **options: Any) -> Any:
    found = of.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, **options)
    return found


def payment(of: Any, **options: Any) -> list[Any]:
    arrays = {"amount": AMOUNTS, "currency": CURRENCIES, "items": ITEMS, "note": NOTES}
    return [tensor(of, n, a, "FP64" if n == "amount" else "BYTES", **options) for n, a in arrays.items()]


def words(answer: Any, name: str) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else word for word in answer.as_numpy(name)]


def check_calls(of: Any, client: Any, **options: Any) -> None:
    """Metadata, one input, several inputs, text, what is refused."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("parity")
    answer = client.infer("parity", [tensor(of, "number", NUMBERS, "INT64", **options)], request_id="7")
    assert words(answer, "prediction") == ["Odd", "Even"]
    outputs = [of.InferRequestedOutput("label"), of.InferRequestedOutput("score")]
    for wanted in (None, outputs):
        answer = client.infer("payment", payment(of, **options), outputs=wanted)
        assert answer.as_numpy("score").tolist() == [1.0, 2.5]
        assert words(answer, "label") == ["EUR", "USD"]
    wrong = {
        "There is no model 'nope'": ("nope", tensor(of, "number", NUMBERS, "INT64", **options)),
        "has the shape": ("parity", tensor(of, "number", NUMBERS.reshape(1, 2), "INT64", **options)),
        "is INT64, not": ("parity", tensor(of, "number", NUMBERS.astype(np.int32), "INT32", **options)),
        "no input 'x'": ("parity", tensor(of, "x", NUMBERS, "INT64", **options)),
        "rows failed (row 1)": ("parity", tensor(of, "number", np.array([1, 13]), "INT64", **options)),
    }
    for said, (model, given) in wrong.items():
        message = refusal(client, model, given)
        assert said in message, (said, message)


def refusal(client: Any, model: str, given: Any) -> str:
    try:
        client.infer(model, [given])
    except InferenceServerException as error:
        return str(error.message())
    return "it was answered"


async def check_loops(http: str, grpc: str) -> None:
    for of, url in ((tritonclient.http, http), (tritonclient.grpc, grpc)):
        async with of.aio.InferenceServerClient(url) as client:
            given = [tensor(of, "number", NUMBERS, "INT64")]
            for answer in await asyncio.gather(*[client.infer("parity", given) for _ in range(50)]):
                assert words(answer, "prediction") == ["Odd", "Even"]


def main() -> None:
    http, grpc = sys.argv[1:]
    of_http = tritonclient.http.InferenceServerClient(http)
    for binary in (True, False):
        check_calls(tritonclient.http, of_http, binary_data=binary)
    given = [tensor(tritonclient.http, "number", NUMBERS, "INT64")]
    later = [of_http.async_infer("parity", given) for _ in range(5)]
    assert all(words(one.get_result(), "prediction") == ["Odd", "Even"] for one in later)
    packed = of_http.infer("parity", given, request_compression_algorithm="gzip")
    assert words(packed, "prediction") == ["Odd", "Even"]
    of_grpc = tritonclient.grpc.InferenceServerClient(grpc)
    check_calls(tritonclient.grpc, of_grpc)
    given = [tensor(tritonclient.grpc, "number", NUMBERS, "INT64")]
    packed = of_grpc.infer("parity", given, compression_algorithm="gzip", client_timeout=5)
    assert words(packed, "prediction") == ["Odd", "Even"]
    asyncio.run(check_loops(http, grpc))
    print("ok")


if __name__ == "__main__":
    main()
