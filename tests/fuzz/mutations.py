"""Damage for files: what a disk, a crash, another program or a hostile hand makes of them, drawn from a seed.

damage(Path("run/config.json"), "json", np.random.default_rng(7))      # changes the file; returns a name for the damage

A "json" file is also changed as JSON: a key that is gone, of another type, out of range, or nested without end. "lines"
are files of such, "bytes" all others; "safetensors" has JSON before its bytes, and a "forged" file of JSON says its own
SHA-256, which is made to fit again.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

type Draw = np.random.Generator

HOLE = "\ue000hole\ue000"  # stands where text that `json.dumps` would not write is put
# what takes the place of a value
VALUES = (
    *("null", "true", "-1", "0", "1", "7", "0.5", "-0.0", "1e308", "1e999", "-1e400", "NaN", "Infinity"),
    *("1" + "0" * 30, "9" * 5000, str(2**31), str(2**63), str(-(2**63) - 1)),
    *('""', '"x"', '"7"', '"../../../../etc/passwd"', '"/dev/zero"', '"' + "A" * 5000 + '"'),
    *('"\\u0000"', '"a\\u0000b"', '"\\ud83d"', '"\\u001b[2J"'),
    *("[]", "{}", "[[]]", "[null]", "[1, 2]", '{"a": {}}', '["a", "b"]'),
    *("[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500),
)
# what takes the place of a file
PLACES = ("fifo", "loop", "dangling", "folder", "zero", "missing", "empty", "unreadable name")


def damage(path: Path, kind: str, draw: Draw) -> str:
    """Changes a file, or what stands in its place. Returns a name for what was done."""
    if draw.random() < 0.08:
        return misplace(path, PLACES[draw.integers(len(PLACES))])
    data = path.read_bytes()
    way: Callable[[bytes, Draw], tuple[bytes, str]] = as_bytes
    if kind != "bytes" and draw.random() < 0.75:
        way = {"json": as_json, "lines": as_lines, "safetensors": as_safetensors, "forged": as_forged}[kind]
    changed, name = way(data, draw)
    path.write_bytes(changed)
    return name


def misplace(path: Path, how: str) -> str:
    """Something else stands where the file was."""
    path.unlink()
    match how:
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "dangling":
            path.symlink_to("nowhere")
        case "folder":
            path.mkdir()
        case "zero":
            path.symlink_to("/dev/zero")
        case "empty":
            path.write_bytes(b"")
        case "unreadable name":
            (path.parent / os.fsdecode(b"\xff\x1b[2J" + path.name.encode())).write_bytes(b"")
    return how


def as_bytes(data: bytes, draw: Draw) -> tuple[bytes, str]:
    """Bits that flip, a cut, a run of other bytes."""
    if not data:
        return b"\0", "one byte"
    at = int(draw.integers(len(data)))
    end = min(len(data), at + int(draw.integers(1, 65)))
    match draw.integers(7):
        case 0 | 1:
            changed = bytearray(data)
            for i in draw.integers(len(data), size=draw.integers(1, 9)):
                changed[i] ^= 1 << draw.integers(8)
            return bytes(changed), "bits flipped"
        case 2:
            return data[:at], f"cut at {at}"
        case 3:
            return data[:at] + data[end:], f"bytes {at} to {end} gone"
        case 4:
            return data[:at] + draw.bytes(end - at) + data[end:], f"bytes {at} to {end} random"
        case 5:
            return data[:at] + data[at:end] * 50 + data[end:], f"bytes {at} to {end} repeated"
        case _:
            return data + data, "twice"


def as_json(data: bytes, draw: Draw) -> tuple[bytes, str]:
    """One place of the value within is something else, gone, or called otherwise."""
    value = json.loads(data)
    places = list(_places(value, ()))
    place = places[draw.integers(len(places))]
    new = VALUES[draw.integers(len(VALUES))]
    how = "set"
    if not place:
        return new.encode(), f"all of it: {new[:30]}"
    parent: Any = value
    for key in place[:-1]:
        parent = parent[key]
    chance = draw.random()
    if chance < 0.2:
        how = "gone"
        del parent[place[-1]]
    elif chance < 0.25 and isinstance(parent, dict):
        how = "renamed"
        parent["renamed \x1b[2J"] = parent.pop(place[-1])
    else:
        parent[place[-1]] = HOLE
    text = json.dumps(value).replace(json.dumps(HOLE), new)
    return text.encode(), f"{'.'.join(map(str, place))[:60]} {how}" + (f": {new[:30]}" if how == "set" else "")


def as_lines(data: bytes, draw: Draw) -> tuple[bytes, str]:
    lines = data.split(b"\n")
    whole = [i for i, line in enumerate(lines) if line.strip()]
    i = whole[draw.integers(len(whole))]
    try:
        lines[i], name = as_json(lines[i], draw)
    except ValueError:  # a line of another form
        lines[i], name = as_bytes(lines[i], draw)
    return b"\n".join(lines), f"line {i + 1}: {name}"


def as_safetensors(data: bytes, draw: Draw) -> tuple[bytes, str]:
    """The header changed, and its length with it."""
    length = struct.unpack("<Q", data[:8])[0]
    header, name = as_json(data[8 : 8 + length], draw)
    return struct.pack("<Q", len(header)) + header + data[8 + length :], name


def as_forged(data: bytes, draw: Draw) -> tuple[bytes, str]:
    """JSON changed by somebody who knows how its own digest is made."""
    changed, name = as_json(data, draw)
    try:
        value = json.loads(changed)
        del value["sha256"]
        sha256 = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        return json.dumps({**value, "sha256": sha256}).encode(), f"forged: {name}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return changed, name


def _places(value: Any, at: tuple[Any, ...]) -> Any:
    """Every place in JSON; of long lists and objects the first few."""
    yield at
    if isinstance(value, dict):
        for key in list(value)[:40]:
            yield from _places(value[key], (*at, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 5)):
            yield from _places(value[i], (*at, i))
