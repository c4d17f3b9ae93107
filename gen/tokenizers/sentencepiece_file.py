"""The file of a SentencePiece model as bytes: a protocol buffer, of which two facts are needed and one is changed.

    changed = as_control(model, {4})                        # no text spells piece 4
    denormalizes(model)                                     # whether decoding rewrites the whole text

Layout (sentencepiece_model.proto): field 1 of the model is a piece, each {1: its name, 2: its score, 3: its type}, and
field 5 the denormalizer, {2: its table}.
"""

from collections.abc import Collection, Iterator

CONTROL, PLAIN = 3, (1, 4)  # types of pieces; those that texts are made of: normal ones and a user's own


def as_control(model: bytes, pieces: Collection[int]) -> bytes:
    """The model with the types of these pieces, given by their ids, set to CONTROL where texts are made of them."""
    parts, copied = [], 0
    for i, (_, first, last) in enumerate(field for field in _fields(model, 0, len(model)) if field[0] == 1):
        if i not in pieces:
            continue
        kind = next((at for number, at, _ in _fields(model, first, last) if number == 3), None)
        if kind is None:  # the default, a normal piece: the field is added
            parts += [model[copied : first - len(_varint(last - first))], _with_kind(model[first:last])]
            copied = last
        elif model[kind] in PLAIN:
            parts += [model[copied:kind], bytes((CONTROL,))]
            copied = kind + 1
    return b"".join([*parts, model[copied:]])


def denormalizes(model: bytes) -> bool:
    return any(
        number == 5 and any(inner == 2 and last > first for inner, first, last in _fields(model, begin, end))
        for number, begin, end in _fields(model, 0, len(model))
    )


def _with_kind(piece: bytes) -> bytes:
    """A piece with the type CONTROL added, behind its length."""
    return _varint(len(piece) + 2) + piece + bytes((3 << 3, CONTROL))


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first, last) of each field: where its content begins and ends. Stops at what is no field."""
    while at < end:
        tag, at = _read_varint(data, at, end)
        first = at
        match tag & 7:
            case 0:
                _, at = _read_varint(data, at, end)
            case 1:
                at += 8
            case 2:
                size, first = _read_varint(data, at, end)
                at = first + size
            case 5:
                at += 4
            case _:
                return
        if at > end:
            return
        yield tag >> 3, first, at


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends; behind the end where it is broken."""
    value = 0
    for i in range(10):
        if at + i >= end:
            break
        value |= (data[at + i] & 0x7F) << (7 * i)
        if data[at + i] < 0x80:
            return value, at + i + 1
    return 0, end + 1


def _varint(value: int) -> bytes:
    rest = []
    while value > 0x7F:
        rest.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*rest, value))
