"""Files of the hub with every value replaced by others: each is read, or refused in a sentence by the reader."""

import itertools
import json
import math
import os
import traceback
from pathlib import Path

import pytest

import gen
from gen.interop import generation, huggingface
from gen.interop.pretrained import load_pretrained, read_config
from gen.tokenizers import Bytes
from tests.language_peers import write_directory

BAD = (None, True, -1, 0, 1, 7, 2**27, 2**31, 2**63, 10**40, 1.5, -0.0, 1e-300, 1e300, "", "1", "x" * 9000, [], [[]])
BAD += ({}, {"a": 1}, [1] * 2000, "\x1b[2J", "\ud800", math.inf, math.nan)


def mutations(content):
    """The object with each value of each group replaced, taken out, or put a level deeper."""
    for path in paths(content):
        for value in BAD:
            yield replaced(content, path, value)
    for depth in (70, 20_000):
        yield json.dumps({**content, "x": 0}).replace('"x": 0', f'"x": {"[" * depth}{"]" * depth}')
    yield from (json.dumps(content)[:cut] for cut in range(0, len(json.dumps(content)), 97))


def paths(content, before=()):
    for key, value in content.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from paths(value, (*before, key))


def replaced(content, path, value):
    inner = value if len(path) == 1 else json.loads(replaced(content[path[0]], path[1:], value))
    return json.dumps({**content, path[0]: inner})


def reads(read):
    """Whether it is read; a refusal is a sentence of gen's own."""
    try:
        read()
        return True
    except ValueError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        assert Path(frame.f_code.co_filename).is_relative_to(Path(gen.__file__).parent), repr(error)
        assert len(str(error)) < 2000
        return False


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return {name: write_directory(name, tmp_path_factory.mktemp("hub") / name) for name in ("gpt2", "llama3")}


@pytest.mark.parametrize("name", ["gpt2", "llama3"])
def test_every_config_is_read_or_refused(hub, name):
    path = hub[name] / "config.json"
    good = path.read_text()
    try:
        outcomes = []
        for text in mutations(json.loads(good)):
            path.write_text(text, errors="surrogatepass")
            outcomes.append(reads(lambda: read_config(hub[name])))
        assert len(outcomes) > 400 and {*outcomes} == {True, False}
    finally:
        path.write_text(good)


def test_every_generation_config_is_read_or_refused(hub):
    path, model = hub["llama3"] / generation.FILE, read_config(hub["gpt2"])[1]
    keys = (*generation.Settings.__annotations__, "num_beams", "unknown")
    model = model.__class__(300, 40, model.transformer)
    try:
        for text in mutations(dict.fromkeys(keys)):
            path.write_text(text, errors="surrogatepass")
            reads(lambda: generation.read(hub["llama3"], Bytes(), model))
    finally:
        path.unlink()


def test_every_index_is_read_or_refused(hub, tmp_path):
    os.link(hub["gpt2"] / "model.safetensors", tmp_path / "one.safetensors")
    for text in mutations({"metadata": {"total_size": 1}, "weight_map": {"transformer.wte.weight": "one.safetensors"}}):
        (tmp_path / huggingface.INDEX).write_text(text, errors="surrogatepass")
        reads(lambda: huggingface.read_weights(tmp_path))


def test_every_header_of_weights_is_read_or_refused(tmp_path):
    good = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"format": "pt"}}
    path = tmp_path / huggingface.WEIGHTS
    for text, length in itertools.product(mutations(good), (None, 0, 2**40)):
        data = text.encode(errors="surrogatepass")
        path.write_bytes((len(data) if length is None else length).to_bytes(8, "little") + data + bytes(24))
        reads(lambda: huggingface.read_weights(tmp_path))


@pytest.mark.prove
@pytest.mark.parametrize("name", ["gpt2", "llama3"])
def test_every_config_that_is_read_gives_weights_or_is_refused(hub, name):
    """Shapes are compared before memory is taken: a minute of thousands of directories."""
    path = hub[name] / "config.json"
    good = path.read_text()
    try:
        for text in mutations(json.loads(good)):
            path.write_text(text, errors="surrogatepass")
            reads(lambda: load_pretrained(hub[name]))
    finally:
        path.write_text(good)
