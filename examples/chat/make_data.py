"""Makes the table of prompts that the batch of this example answers: one conversation a row.

python make_data.py OUTPUT.jsonl [N_ROWS]
"""

import itertools
import json
import sys
from pathlib import Path

ASKED = ("Name three {}.", "Write one sentence about {}.", "Are {} useful? Answer in one sentence.")
ABOUT = ("colours", "rivers", "trees", "birds", "metals", "fruits", "tools", "planets")


def conversations(n_rows: int) -> list[dict[str, object]]:
    """Rows with an id and the input of the model, each of another prompt until all have been used."""
    prompts = [asked.format(about) for about, asked in itertools.product(ABOUT, ASKED)]
    return [
        {"id": n, "messages": [{"role": "user", "content": prompts[n % len(prompts)]}], "max_tokens": 24}
        for n in range(n_rows)
    ]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rows = conversations(int(sys.argv[2]) if len(sys.argv) == 3 else 24)
    Path(sys.argv[1]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} prompts -> {sys.argv[1]}")
