"""How a person looks at a batch: pictures with a text under each as one image, or texts with their documents apart.

draw(image_BYXC, ["0  a seven in red ink", "1  a two in blue ink"]).save("grid.png")
rows_of_text(batch, tokenizer)          # ["==== row 0\\n---- document 1, 90 tokens, 89 count\\nimport os ...", ...]
"""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from gen.tokenizers import Tokenizer

SMALLEST = 128  # pixels: smaller pictures are enlarged, each pixel to a square, which leaves room for their texts
TEXT = 12  # pixels
GAP = 8  # pixels


def draw(image_BYXC: UInt8[np.ndarray, "B Y X 3"], texts: Sequence[str]) -> Image.Image:
    """As many columns as rows, or one more; texts are wrapped to the width of a picture and shown whole."""
    factor = math.ceil(SMALLEST / image_BYXC.shape[2])
    pictures = image_BYXC.repeat(factor, 1).repeat(factor, 2)
    height, width = pictures.shape[1:3]
    font = ImageFont.load_default(TEXT)
    letters = int(width / font.getlength("0"))
    texts = [textwrap.fill(text, letters) for text in texts]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    text_height = math.ceil(max(measure.multiline_textbbox((0, 0), text, font)[3] for text in texts))

    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    down, right = height + text_height + 2 * GAP, width + GAP
    sheet = Image.new("RGB", (GAP + columns * right, GAP + rows * down), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = GAP + i % columns * right, GAP + i // columns * down
        sheet.paste(Image.fromarray(picture), (x, y))
        pen.multiline_text((x, y + height + GAP // 2), text, "black", font)
    return sheet


def rows_of_text(batch: Mapping[str, np.ndarray], tokenizer: Tokenizer) -> Iterator[str]:
    """Each row, its documents under headings that say how many of their targets the loss counts."""
    for row, (tokens_T, segments_T, weights_T) in enumerate(
        zip(batch["tokens"], batch["segments"], batch["weights"], strict=True)
    ):
        yield f"==== row {row}\n"
        for segment in np.unique(segments_T[segments_T > 0]):
            own_T = segments_T == segment
            yield f"---- document {segment}, {own_T.sum()} tokens, {weights_T[own_T].sum():g} count\n"
            yield tokenizer.decode(tokens_T[own_T]) + "\n"
