"""How a person looks at a batch: pictures with a text under each as one image, or each row as text.

draw(image_BYXC, ["0  a seven in red ink", "1  a two in blue ink"]).save("grid.png")
rows_of_text(batch, tokenizer)          # ["==== row 0\\n---- document 1, 90 tokens, 89 count\\nimport os ...", ...]
rows_of_chat(batch, tokenizer, FILE)    # [..., "⟨start⟩User: Hi\\nAssistant: ", "«", "Hello⟨end⟩", "»", "\\n"]
"""

import itertools
import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from gen.messages import harmless
from gen.runs.family import Inputs
from gen.tokenizers import Tokenizer
from gen.tokenizers.printable import legible

SMALLEST = 128  # pixels: smaller pictures are enlarged, each pixel to a square, which leaves room for their texts
TEXT = 12  # pixels
GAP = 8  # pixels

# what stands around text that counts in the loss: in a file, and bold green on a terminal
FILE, TERMINAL = ("«", "»"), ("\x1b[1;32m", "\x1b[0m")

type Batch = Mapping[str, np.ndarray]


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


def text_of(inputs: Inputs, feed: Any, batch: Batch, rows: int, terminal: bool) -> Iterator[str]:
    """The batch of a feed of texts, piece by piece; the first `rows` rows also token by token. `terminal` says that a
    person looks on: what counts is coloured, and nothing in the texts moves the cursor."""
    assert inputs.rows is not None, "pictures are drawn"
    marks = TERMINAL if terminal and not os.environ.get("NO_COLOR") else FILE
    for piece in itertools.chain(inputs.rows(feed, batch, marks), table(batch, feed.tokenizer, rows)):
        yield harmless(piece) if terminal and piece not in TERMINAL else piece


def rows_of_text(batch: Batch, tokenizer: Tokenizer, heading: str = "row") -> Iterator[str]:
    """Each row, its documents under headings that say how many of their targets the loss counts."""
    for row, one in enumerate(_rows(batch)):
        yield f"==== {heading} {row}\n"
        for segment, own_T in _segments(one):
            count = one["weights"][own_T].sum()
            yield f"---- document {segment}, {own_T.sum()} tokens, {count:g} count\n"
            yield tokenizer.decode(one["tokens"][own_T]) + "\n"


def rows_of_chat(batch: Batch, tokenizer: Tokenizer, around: tuple[str, str]) -> Iterator[str]:
    """Each row, its conversations with `around` what the model learns to say: FILE or TERMINAL."""
    for row, one in enumerate(_rows(batch)):
        yield f"==== row {row}\n"
        weight_T = weight_of_tokens(one["weights"])
        for segment, own_T in _segments(one):
            yield f"---- conversation {segment}, {own_T.sum()} tokens, {weight_T[own_T].sum():g} count\n"
            pairs = zip(one["tokens"][own_T].tolist(), weight_T[own_T] > 0, strict=True)
            for counts, run in itertools.groupby(pairs, key=lambda pair: pair[1]):
                text = legible([token for token, _ in run], tokenizer)
                yield from (around[0], text, around[1]) if counts else (text,)
            yield "\n"


def rows_of_rankings(batch: Batch, tokenizer: Tokenizer) -> Iterator[str]:
    """Each row, its prompt and the answers with their ranks, the best first; a demonstration beside them."""
    for row, one in enumerate(_rows(batch)):
        prompt = one["prompt"]
        yield f"==== row {row}\n---- prompt, {prompt} tokens\n{legible(one['tokens'][0][:prompt], tokenizer)}\n"
        for tokens_T, length, rank in zip(one["tokens"], one["length"], one["rank"], strict=True):
            if rank >= 0:
                yield f"---- rank {rank}, {length - prompt} tokens\n{legible(tokens_T[prompt:length], tokenizer)}\n"
        if "demonstration_tokens" in one:
            shown_T = one["demonstration_tokens"][: one["demonstration_length"]]
            yield f"---- demonstration, {len(shown_T)} tokens\n{legible(shown_T, tokenizer)}\n"


def rows_of_prompts(batch: Batch, tokenizer: Tokenizer) -> Iterator[str]:
    """Each row, its prompt and the answer that is known; the texts beside them, where training has such."""
    for row, one in enumerate(_rows(batch)):
        yield f"==== row {row}\n"
        for name, tokens, length in (("prompt", "tokens", "length"), ("answer", "answer", "answer_length")):
            yield f"---- {name}, {one[length]} tokens\n{legible(one[tokens][: one[length]], tokenizer)}\n"
        texts = {name.removeprefix("pretrain/"): x for name, x in one.items() if name.startswith("pretrain/")}
        if texts:
            yield from rows_of_text(texts, tokenizer, f"beside row {row}, text")


def rows_of_labelled(batch: Batch, tokenizer: Tokenizer, labels: Sequence[str]) -> Iterator[str]:
    """Each row, its label and its text."""
    for row, one in enumerate(_rows(batch)):
        yield f"==== row {row}, {labels[int(one['label'])]}, {one['length']} tokens\n"
        yield legible(one["tokens"][: one["length"]], tokenizer) + "\n"


def table(batch: Batch, tokenizer: Tokenizer, rows: int) -> Iterator[str]:
    """The tokens of the first `rows` rows line by line, with the weight of learning to say each."""
    for row, one in enumerate(itertools.islice(_rows(batch), rows)):
        yield f"==== row {row}, token by token\nplace   token  weight  text\n"
        used = np.flatnonzero(one["segments"])[-1] + 1
        weight_T = weight_of_tokens(one["weights"])
        for place, (token, weight) in enumerate(zip(one["tokens"][:used], weight_T[:used], strict=True)):
            yield f"{place:5}  {token:6}  {weight:6g}  {legible([token], tokenizer)!r}\n"


def weight_of_tokens(weights_T: Float32[np.ndarray, "T"]) -> Float32[np.ndarray, "T"]:
    """Of each token the weight with which it counts as the target of the one before it."""
    return np.append(np.float32(0), weights_T[:-1])


def _rows(batch: Batch) -> Iterator[dict[str, np.ndarray]]:
    for row in range(len(next(iter(batch.values())))):
        yield {name: array[row] for name, array in batch.items()}


def _segments(row: Batch) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each document in a row, and which places are its own."""
    for segment in np.unique(row["segments"][row["segments"] > 0]).tolist():
        yield segment, row["segments"] == segment
