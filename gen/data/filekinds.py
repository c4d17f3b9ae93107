"""The kind of a file of texts, by its ending or, for an ambiguous one, by its content.

    kind_of(Path("letters.ndjson.gz"), "text")          "jsonl"
    kind_of(Path("letters.json"), "text")               "jsonl", or "json" where it holds a list
    kind_of(Path("logo.png"), "text")                   NotData

A name that is neither of text nor of data is not guessed at.
"""

import codecs
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.data import opened

TEXT = "text"
DATA = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
FORMATS = (TEXT, "jsonl", "json", "csv", "tsv", "parquet")

_WORDS = """
    txt text md markdown mdx rst org adoc asciidoc tex sty cls bib tokens raw srt vtt po log diff patch html htm
    xhtml xml xsl xsd svg rss css scss sass less vue svelte yaml yml toml ini cfg conf config properties env
    editorconfig py pyi pyx pxd r rmd jl lua rb php pl pm t tcl sh bash zsh fish awk sed ps1 bat cmd vim c h cc cpp
    cxx c++ hh hpp hxx inl ipp cu cuh m mm d rs go zig nim v cr swift java kt kts scala groovy gradle clj cljs cljc
    edn cs csx fs fsi fsx vb js mjs cjs jsx ts mts cts tsx coffee dart elm ex exs erl hrl hs lhs ml mli re lisp lsp
    cl el scm ss rkt pro f f77 f90 f95 f03 f08 for pas pp dpr ada adb ads cob cbl bas asm s sv svh vh vhd vhdl sol
    move lean agda idr thy coq sql graphql gql proto thrift capnp glsl hlsl wgsl vert frag metal cmake mk mak make
    am ac m4 in bzl bazel nix tf hcl rego tmpl j2 jinja erb haml pug mustache hbs ejs
"""
TEXTS = frozenset(f".{word}" for word in _WORDS.split())


class NotData(ValueError):
    """A file is neither text nor data with the key that is asked for, in words that follow its name."""


class Unknown(NotData):
    """Nothing says what a file is, so that a person may."""


def kind_of(path: Path, key: str) -> str:
    """One of FORMATS; of data, rows have `key`, as far as it takes to tell. Raises NotData where it is none, ValueError
    where a compressed file is not whole."""
    ending = opened.ending(path)
    if ending in DATA:
        return DATA[ending]
    if ending == ".json":
        return _of_json(path, key)
    if ending in TEXTS:
        return TEXT
    if ending:
        what = opened.not_text(opened.head(path))
        raise NotData(f": {what}") if what else Unknown(f": its ending {ending} is not known to be that of a text")
    if what := opened.not_text(opened.head(path)):
        raise NotData(f": {what}")
    return TEXT


def _of_json(path: Path, key: str) -> str:
    """JSON lines, or a list of objects, or one object."""
    lines = (line for line in opened.lines(path) if line.strip())
    first, second = next(lines, b""), next(lines, b"")
    begins = [line.removeprefix(codecs.BOM_UTF8).lstrip()[:1] for line in (first, second)]
    if begins[0] == b"{" and (begins[1] == b"{" or _has(_parsed(first), key)):
        return "jsonl"
    if begins[0] in (b"{", b"["):
        found = _parsed(_whole(path))
        if _has(found[0] if isinstance(found, list) and found else found, key):
            return "json"
    raise Unknown(f': its JSON is neither lines nor a list of objects with "{key}"')


def _has(found: Any, key: str) -> bool:
    return isinstance(found, dict) and key in found


def _whole(path: Path) -> str:
    try:
        return opened.text(path)
    except opened.Undecodable:
        return ""


def _parsed(content: bytes | str) -> Any:
    """The JSON in `content`, or None for other text."""
    try:
        return jsonfile.parse(content, Any, "", finite=False, paired=False)
    except jsonfile.NotReadable:
        return None
