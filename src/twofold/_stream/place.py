"""One SOURCE or SINK as it is written on a command line: scheme://servers/topic?name=value&…"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from twofold._errors import UsageError

__all__ = ["KINDS", "Place"]

KINDS = (
    "SOURCE and SINK are - (JSON lines on standard input and output), kafka://BROKER/TOPIC or nats://SERVER/SUBJECT."
)


class Place:
    """A broker, a topic (or subject) there, and settings: scheme://servers/topic?name=value&…"""

    def __init__(self, text: str, option: str) -> None:
        self.text = text
        self.option = option
        try:
            parts = urlsplit(text)
            settings = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise UsageError(f"{option} {text!r} cannot be read: {error}. {KINDS}") from None
        self.scheme = parts.scheme
        self.servers = parts.netloc
        self.topic = unquote(parts.path.strip("/"))
        self.settings = dict(settings)
        if not (self.servers and self.topic) or "/" in self.topic:
            raise UsageError(f"{option} {text!r} names no server and topic. {KINDS}")

    def take(self, name: str, default: str | None = None) -> str | None:
        """A setting, which is then not among the rest."""
        return self.settings.pop(name, default)

    def needed(self, name: str, why: str) -> str:
        found = self.settings.pop(name, "")
        if not found:
            raise UsageError(f"{self.option} {self.text!r} needs {name}=…: {why}.")
        return found

    def refuse_rest(self, known: str) -> None:
        """Raises UsageError where a setting is left that nobody took."""
        if self.settings:
            raise UsageError(f"{self.option} {self.text!r}: there is no setting {min(self.settings)!r}, only {known}.")
