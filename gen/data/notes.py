"""What is too long for a row, left out, and told: the notes of a pipeline, a sentence each.

kept, notes = within([("a.jsonl:1", 40), ("a.jsonl:2", 80)], size=lambda one: one[1], limit=64, ...)
notes       ["1 of 2 conversations is longer than the model's context of 64 tokens and left out, the first ..."]
"""

from collections.abc import Callable, Mapping


def which_of(split: str) -> str:
    """How notes call what is of a split."""
    return "" if split == "train" else "held-out "


def merged(notes: list[str], more: list[str]) -> list[str]:
    """The notes with those that are new."""
    return list(dict.fromkeys([*notes, *more]))


def left_out(where: str, faults: Mapping[str, str], total: int) -> list[str]:
    """A sentence about the files, of `total`, that are not read, by why; none where there are none."""
    if not faults:
        return []
    name, fault = next(iter(faults.items()))
    verb = "is" if len(faults) == 1 else "are"
    return [f"{where}: {len(faults)} of {total} files {verb} left out, the first {name}{fault}"]


def within[T](
    named: list[tuple[str, T]], size: Callable[[tuple[str, T]], int], limit: int, noun: str, room: str
) -> tuple[list[tuple[str, T]], list[str]]:
    """Those of at most `limit` tokens by `size`, and a sentence about the others, if there are any; all have names.

    Raises ValueError when none is left.
    """
    sizes = [size(one) for one in named]
    kept = [one for one, tokens in zip(named, sizes, strict=True) if tokens <= limit]
    if len(kept) == len(named):
        return kept, []
    name, most = next((one[0], tokens) for one, tokens in zip(named, sizes, strict=True) if tokens > limit)
    left = len(named) - len(kept)
    note = f"{left} of {len(named)} {noun} {'is' if left == 1 else 'are'} longer than {room} and left out"
    if not kept:
        raise ValueError(f"{note}, the first {name} with {most}, so that none is left; make room or shorten them")
    return kept, [f"{note}, the first {name} with {most}"]
