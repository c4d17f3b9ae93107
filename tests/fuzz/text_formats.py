"""Corpora, and files of which each line is a row to be trained on further."""

import gzip
import json
from pathlib import Path

from formats import WORDS, format, read_all

from gen import tokenizers


@format(json="store.json", bytes="*.npy tokens.bin")
class Store:
    """A corpus as tokens on disk."""

    @staticmethod
    def make(place: Path) -> None:
        from gen.data.corpora import open_corpus
        from gen.data.tokens import prepare

        text = place.with_name("text of store.txt")
        text.write_text(WORDS)
        prepare(open_corpus(f"text:{text}", "train", test_fraction=0.1), tokenizers.Bytes(), place.with_name("cache"))
        (made,) = place.with_name("cache").glob("tokens/*")
        made.rename(place)

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.tokens import TokenStore

        store = TokenStore(place)
        assert len(store.tokens) == store.offsets[-1]


@format(lines="rows.jsonl", json="rows.json", bytes="one.txt rows.parquet rows.csv packed.txt.gz")
class Texts:
    @staticmethod
    def make(place: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        place.mkdir(parents=True)
        (place / "one.txt").write_text(WORDS)
        (place / "rows.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in WORDS.splitlines()[:9]))
        (place / "rows.json").write_text(json.dumps([{"text": line} for line in WORDS.splitlines()[:9]]))
        (place / "rows.csv").write_text("id,text\n" + "".join(f'{i},"{i} ""times"""\n' for i in range(9)))
        (place / "packed.txt.gz").write_bytes(gzip.compress(WORDS.encode()))
        pyarrow.parquet.write_table(pyarrow.table({"text": WORDS.splitlines()[:9]}), place / "rows.parquet")

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.corpora import open_corpus

        list(open_corpus(f"text:{place}", "train", test_fraction=0.1).documents())


@format(lines="chats.jsonl preferences.jsonl labels.jsonl prompts.jsonl", bytes="prompts.txt")
class Lines:
    """What is trained further on: a line of JSON for each conversation, ranking, label or prompt."""

    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        user, answer = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
        ranking = {"messages": [user], "ranked": ["a", ["b", "c"], "d"]}
        write = lambda name, rows: (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        write("chats.jsonl", [{"messages": [{"role": "system", "content": "x"}, user, answer]}] * 6)
        write("preferences.jsonl", [ranking] * 6)
        write("labels.jsonl", [{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(12)])
        write("prompts.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
        (place / "prompts.txt").write_text("a\nb\n")

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.conversations import open_conversations
        from gen.data.labelled import open_labelled
        from gen.data.rankings import open_rankings
        from gen.pipelines.bulk import prompts

        read_all(
            [
                lambda: open_conversations(f"chat:{place / 'chats.jsonl'}", "train"),
                lambda: open_rankings(f"preferences:{place / 'preferences.jsonl'}", "train"),
                lambda: open_labelled(f"labelled:{place / 'labels.jsonl'}", "train"),
                lambda: prompts.read(place / "prompts.jsonl"),
                lambda: prompts.read(place / "prompts.txt"),
            ]
        )
