"""`twofold.connect`: a served model that is called like the model itself."""

from twofold._client.answer import Answer
from twofold._client.client import Client, connect

__all__ = ["Answer", "Client", "connect"]
