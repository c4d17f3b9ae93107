"""The caption in a text that stands alongside an image, in a folder or in a tar."""

from gen.data import jsonlines
from gen.data.source import Damaged

LONGEST = 2**20  # bytes


def caption_in(content: bytes) -> tuple[str, ...]:
    """The text as the only caption, without white space at its ends; none where nothing is left.

    Raises Damaged for what is not UTF-8, or has more than LONGEST bytes.
    """
    if len(content) > LONGEST:
        raise Damaged(f"its caption has more than {LONGEST:,} bytes")
    if encoding := jsonlines.encoding_of(content[:4]):
        raise Damaged(f"its caption is {encoding}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Damaged(f"its caption is not UTF-8 at byte {error.start}") from error
    return (text,) if text else ()
