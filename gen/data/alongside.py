"""The caption in a text that stands alongside an image, in a folder or in a tar."""

from gen.data import opened
from gen.data.source import CorruptRecord

LONGEST = 2**20  # bytes


def caption_in(content: bytes) -> tuple[str, ...]:
    """The text as the only caption, without white space at its ends; none where nothing is left.

    Raises CorruptRecord for what is no text, or has more than LONGEST bytes.
    """
    if len(content) > LONGEST:
        raise CorruptRecord(f"its caption has more than {LONGEST:,} bytes")
    try:
        text = opened.decoded(content).strip()
    except opened.Undecodable as fault:
        raise CorruptRecord(f"its caption cannot be read{fault}") from fault
    return (text,) if text else ()
