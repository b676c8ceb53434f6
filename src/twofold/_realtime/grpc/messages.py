"""The messages of the .proto files beside this one, as classes of protobuf.

Their descriptors are data (messages.binpb), which every version of protobuf reads, and stand in a pool of their own: a
process may have other code for the same package loaded, such as a client's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["HEALTH", "INFERENCE", "Message", "message_class"]

Message = Any  # its attributes are made by protobuf when it runs

INFERENCE: Final = "inference"
HEALTH: Final = "grpc.health.v1"


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    found = descriptor_pb2.FileDescriptorSet.FromString((Path(__file__).parent / "messages.binpb").read_bytes())
    for file in found.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL: Final = _pool()


def message_class(name: str, package: str = INFERENCE) -> Any:
    """The class of a message, `ModelInferRequest`, say."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{package}.{name}"))
