"""Asks a chat model with OpenAI's own client, word by word as it is made: python ask.py URL QUESTION"""

import sys

from openai import OpenAI


def ask(url: str, question: str) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    (model,) = client.models.list().data
    answer = client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": question}],
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in answer:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
        if chunk.usage is not None:
            print(f"\n({chunk.usage.completion_tokens} tokens)")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ask(*sys.argv[1:])
