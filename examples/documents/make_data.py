"""Pages as a scanner would leave them: `python make_data.py FOLDER PAGES`.

Invoices, slightly turned and grey; among them one file that is torn off, and one page that is far too full.
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WORDS = [
    "paper",
    "pencils",
    "coffee",
    "cables",
    "screws",
    "labels",
    "folders",
    "lamps",
    "chairs",
    "boxes",
    "envelopes",
    "gloves",
]


def invoice(number: int) -> Image.Image:
    """A page with a dozen lines; the same number gives the same page."""
    chance = random.Random(number)
    page = Image.new("L", (900, 640), 250)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(30)
    lines = [f"INVOICE {number:04d}", f"Date 2024-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"]
    total = 0
    for _ in range(chance.randint(3, 6)):
        pieces, price = chance.randint(1, 40), chance.randint(1, 99)
        total += pieces * price
        lines.append(f"{pieces} {chance.choice(WORDS)} at {price}.00")
    for at, line in enumerate([*lines, f"Total {total}.00"]):
        draw.text((70, 50 + 62 * at), line, fill=20, font=font)
    return page.rotate(chance.uniform(-1, 1), fillcolor=250)


def full() -> Image.Image:
    """A page that keeps the model busy for a long time: thousands of words."""
    chance = random.Random(0)
    page = Image.new("L", (4000, 4000), 250)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(22)
    for row in range(110):
        for column in range(24):
            draw.text((40 + 165 * column, 30 + 36 * row), chance.choice(WORDS), fill=20, font=font)
    return page


folder, n_pages = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(exist_ok=True)
for number in range(1, n_pages + 1):
    invoice(number).save(folder / f"page-{number:04d}.png")
torn = folder / "page-0005.png"
torn.write_bytes(torn.read_bytes()[:2000])
full().save(folder / "page-0008.png")
print(f"{n_pages} pages -> {folder}/")
