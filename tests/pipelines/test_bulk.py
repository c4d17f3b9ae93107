"""Lists of prompts: files of them, what is made of them once, by whom, and how it is shown."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import small
from PIL import Image

from gen.files import CannotWrite
from gen.pipelines.bulk import grid, index, prompts, requests
from gen.pipelines.bulk.bulk_pictures import BulkPictures
from gen.pipelines.bulk.index import SampleIndex, identify
from gen.pipelines.bulk.requests import SampleRequest
from gen.sample.unclip import SamplerConfig
from launch import cluster, sample
from launch.sampling import lists

# ---- files of prompts


@pytest.mark.parametrize(
    ("content", "found", "notes"),
    [
        (b"a seven\na two\n", ["a seven", "a two"], []),
        (b"\xef\xbb\xbfa seven\r\n  a two  ", ["a seven", "a two"], []),
        ("eine Zwölf\n猫\n".encode(), ["eine Zwölf", "猫"], []),
        (b"a\n\n \nb\n\n", ["a", "b"], ["left out 3 empty lines (2, 3, 5)"]),
        (b"a\nb\na\n", ["a", "b"], ["1 prompts stand there more than once"]),
        (b"a\x0cb\x85c\n".replace(b"\x85", "\u2028".encode()), ["a\x0cb\u2028c"], []),
    ],
)
def test_a_line_is_a_prompt(tmp_path, content, found, notes):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    read, said = prompts.read(path)
    assert read == found and len(said) == len(notes)
    for note, part in zip(said, notes, strict=True):
        assert part in note


def test_lines_of_json_have_a_prompt(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "two\\nlines", "id": 3}\n{"prompt": "b"}\n')
    assert prompts.read(path)[0] == ["two\nlines", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", b"good\ncaf\xe9\n", "line 2: byte 0xe9 at character 4 is not UTF-8; save the file as UTF-8"),
        (
            "p.txt",
            ("a\n" * 9).encode("utf-16-le"),
            "p.txt holds no lines of text: it looks like UTF-16 without",
        ),
        ("p.txt", b"\n \n", "has no prompt: write one a line"),
        ("p.txt", b"", "has no prompt"),
        ("p.jsonl", b'{"prompt": "a"}\n{"text": "b"}\n', "line 2: the prompt must be a text, got NoneType"),
        ("p.jsonl", b'["a"]\n', "line 1: the line is a list, but an object is expected; write one JSON object a line"),
        ("p.jsonl", b'{"prompt": 3}\n', "line 1: the prompt must be a text, got int"),
        ("p.jsonl", b'{"prompt": " "}\n', "line 1: the prompt is empty"),
        ("p.jsonl", b'{"prompt": "\\ud83d"}\n', "holds half a surrogate pair"),
        ("p.jsonl", b"[" * 100_000, "nested deeper than 64"),
        ("p.txt", None, "p.txt does not exist"),
    ],
)
def test_what_is_no_file_of_prompts_is_refused(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        prompts.read(tmp_path / name)
    assert said in str(error.value) and "--prompts=" in str(error.value)


# ---- what is to be made


def test_settings_are_every_combination():
    assert requests.vary([]) == [{}]
    assert requests.vary(["a.b=1,2", "c=x"]) == [{"a.b": "1", "c": "x"}, {"a.b": "2", "c": "x"}]
    for given in ("a", "=1", "a=", "a=1,,2"):
        with pytest.raises(ValueError, match="is not KEY=VALUE,VALUE"):
            requests.vary([given])
    with pytest.raises(ValueError, match="a is varied already"):
        requests.vary(["a=1", "a=2"])


def test_processes_share_a_list_and_make_each_once():
    every = requests.expand(list("abc"), [0, 1], requests.vary(["k=1,2"]))
    assert len(every) == 12 and every[2:4] == [SampleRequest("c", 0, {"k": "1"}), SampleRequest("a", 1, {"k": "1"})]
    shares = [requests.share(every, process, 5) for process in range(5)]
    assert sorted((item for own in shares for item in own), key=repr) == sorted(every, key=repr)


def test_which_process_this_is(monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_COMM_WORLD_SIZE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    args = lambda **given: SimpleNamespace(**small.SAMPLE | given)
    assert cluster.share(args()) == cluster.ALONE
    assert cluster.share(args(process=1, processes=3)) == (1, 3)
    with pytest.raises(ValueError, match="--process=3: of --processes=3 the last is 2"):
        cluster.share(args(process=3, processes=3))
    for alone in ({"process": 1}, {"processes": 2}):
        with pytest.raises(ValueError, match="--process and --processes go together"):
            cluster.share(args(**alone))


@pytest.mark.parametrize("seeds", [["1", "x"], ["-1"], ["4294967296"]])
def test_seeds_are_numbers(seeds):
    with pytest.raises(ValueError, match="is not a number from 0 to"):
        lists.seeds(SimpleNamespace(seeds=seeds, seed=0))


def test_something_must_be_asked_for():
    with pytest.raises(ValueError, match="--prompt is missing: .*; or --prompts=FILE"):
        sample.main(SimpleNamespace(**small.SAMPLE | {"workdir": "x"}), [])


# ---- making it


class Painter:
    """In place of a stack: a picture's shades tell its prompt, seed, number and guidance."""

    def __init__(self, samplers=None, drawn=None):
        self.samplers = samplers or {"decoder": SamplerConfig()}
        self.drawn = [] if drawn is None else drawn

    def with_samplers(self, overrides):
        changed = {key.removeprefix("decoder."): float(value) for key, value in overrides}
        if changed.keys() - {"guidance_scale"}:
            raise ValueError("there is no such sampler")
        return Painter({"decoder": SamplerConfig(**changed)}, self.drawn)

    def read(self, prompts):
        return np.array([[len(prompt)] for prompt in prompts]), [f"{p!r}: cut" for p in prompts if len(p) > 9]

    def draw_rows(self, tokens_BT, index_B, seed, from_text_embedding):
        self.drawn.append((tokens_BT[:, 0].tolist(), index_B.tolist(), seed))
        scale = self.samplers["decoder"].guidance_scale
        shade_BC = np.stack([tokens_BT[:, 0] / 20, index_B / 20, np.full(len(index_B), (seed + scale) / 20)], axis=1)
        return SimpleNamespace(pictures=[np.tile(shade_BC[:, None, None].astype(np.float32), (1, 8, 8, 1))])

    def digests(self):
        return {"decoder": {"step": 5, "digest": "d" * 16, "config_sha256": "c" * 64}}


def draw(painter, out, every, place=(0, 1), num=2, batch=4):
    maker = BulkPictures(painter, num, batch, False, {"made_with": {}})
    book, steps = SampleIndex(out, *place), []
    maker.make(requests.share(every, *place), book, steps.append)
    return maker, book, sum(steps)


def lines(out):
    return [json.loads(line) for path in sorted(out.glob("samples*.jsonl")) for line in path.read_text().splitlines()]


def test_batches_are_filled_with_whatever_is_due(tmp_path):
    painter = Painter()
    _, _, made = draw(painter, tmp_path, requests.expand(["a", "bb", "ccc"], [0, 7], [{}]))
    assert made == 12
    assert painter.drawn == [
        ([1, 1, 2, 2], [0, 1, 0, 1], 0),
        ([3, 3, 3, 3], [0, 1, 0, 1], 0),  # the last is filled up with what it has
        ([1, 1, 2, 2], [0, 1, 0, 1], 7),
        ([3, 3, 3, 3], [0, 1, 0, 1], 7),
    ]
    for line in lines(tmp_path):
        with Image.open(tmp_path / line["file"]) as image:
            shades = (np.asarray(image)[0, 0] / 127.5 - 1) * 20
        scale = line["samplers"]["decoder"]["guidance_scale"]
        assert shades.round().tolist() == [len(line["prompt"]), line["index"], line["seed"] + scale]
    assert len(list(tmp_path.glob("*.png"))) == len(lines(tmp_path)) == 12


def test_the_same_command_goes_on(tmp_path):
    every = requests.expand(["a", "bb", "ccc"], [0], [{}])
    draw(Painter(), tmp_path, every)
    whole = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text("".join(whole[:3]) + whole[3][:40])  # killed within a line
    painter = Painter()
    _, book, made = draw(painter, tmp_path, every)
    assert made == 3 and painter.drawn == [([2, 3, 3], [1, 0, 1], 0)]  # no batch is larger than what is due
    assert len(book.made) == 6 and {line["id"] for line in index.lines(tmp_path / "samples.jsonl")} == book.made.keys()
    assert draw(Painter(), tmp_path, every)[2] == 0
    assert draw(Painter(), tmp_path, every, num=3)[2] == 3  # more of each
    assert draw(Painter(), tmp_path, requests.expand(["a"], [0], [{"decoder.guidance_scale": "3"}]))[2] == 2


def test_a_picture_that_is_gone_is_made_again(tmp_path):
    every = requests.expand(["a", "bb"], [0], [{}])
    _, book, _ = draw(Painter(), tmp_path, every, num=1)
    first = next(iter(book.made.values()))["file"]
    with Image.open(tmp_path / first) as image:
        before = image.tobytes()
    (tmp_path / first).unlink()
    _, book, made = draw(Painter(), tmp_path, every, num=1)
    assert made == 1 and len(book.made) == 2
    with Image.open(tmp_path / first) as image:
        assert image.tobytes() == before


def test_processes_go_on_with_what_others_left(tmp_path):
    every = requests.expand(list("abcde"), [0], [{}])
    assert draw(Painter(), tmp_path, every, (0, 2), num=1)[2] == 3
    assert draw(Painter(), tmp_path, every, (1, 3), num=1)[2] == 1  # now they are three
    assert draw(Painter(), tmp_path, every, num=1)[2] == 1
    assert sorted(line["prompt"] for line in lines(tmp_path)) == list("abcde")
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {
        "samples-0-of-2.jsonl",
        "samples-1-of-3.jsonl",
        "samples.jsonl",
    }


def test_an_id_is_of_what_a_sample_is_made_from():
    record = {"prompt": "a", "seed": 0, "samplers": {}, "num": 2, "batch": 4, "made_with": {"versions": 1}}
    assert identify(record, 0) == identify(record | {"num": 5, "batch": 8, "made_with": {}, "row": 3}, 0)
    others = [record | change for change in ({"prompt": "b"}, {"seed": 1}, {"samplers": {"x": 1}})]
    assert len({identify(record, 1), *(identify(other, 0) for other in (record, *others))}) == 5


def test_a_ledger_of_something_else_is_refused(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(ValueError, match="line 1 is of something else; choose another --out"):
        SampleIndex(tmp_path, 0, 1)
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite):
        SampleIndex(tmp_path / "file" / "out", 0, 1)


def test_all_prompts_and_settings_are_looked_at_before_anything_is_drawn():
    maker = BulkPictures(Painter(), 1, 4, False, {})
    assert maker.check(requests.expand(["a", "a very long one"], [0], [{}])) == ["'a very long one': cut"]
    with pytest.raises(ValueError, match="no such sampler"):
        maker.check(requests.expand(["a"], [0], [{"decoder.steps": "3"}]))


def test_the_grid_shows_what_other_processes_made_meanwhile(tmp_path, monkeypatch, capsys):
    maker = BulkPictures(Painter(), 1, 4, False, {"made_with": {}})
    every = requests.expand(list("abcd"), [0], [{}])

    def make(own, *rest):
        draw(Painter(), tmp_path, every, (1, 3), num=1)  # another one, but not the third
        return BulkPictures.make(maker, own, *rest)

    shown = []
    args = SimpleNamespace(
        prompt=list("abcd"), prompts=None, seeds=None, seed=0, vary=[], out=tmp_path, num=1, workdir="x"
    )
    monkeypatch.setattr(maker, "make", make)
    lists.make(args, maker, (0, 3), lambda arranged, out: shown.append(arranged), tmp_path)
    assert len(shown[0].cells) == 3 and "; 1 are still to come, and the same command" in capsys.readouterr().out


# ---- showing it


def test_a_grid_has_a_row_a_prompt_and_a_column_a_setting(tmp_path):
    every = requests.expand(["a", "bb"], [0, 1], requests.vary(["decoder.guidance_scale=1,3"]))
    maker, book, _ = draw(Painter(), tmp_path, every, num=1)
    arranged = grid.arrange(every, maker.names, book.made)
    assert arranged.prompts == ["a", "bb"] and arranged.labels[:2] == [
        "seed 0 decoder.guidance_scale=1",
        "seed 1 decoder.guidance_scale=1",
    ]
    with Image.open(grid.pictures(arranged, tmp_path)) as image:
        pixels = np.asarray(image)
    colours = {tuple(pixel) for pixel in pixels.reshape(-1, 3)}
    for line in book.made.values():
        with Image.open(tmp_path / line["file"]) as one:
            assert tuple(np.asarray(one)[0, 0]) in colours
    assert pixels.shape[0] > 2 * grid.SMALLEST and pixels.shape[1] > grid.MARGIN + 4 * grid.SMALLEST
    several, _, _ = draw(Painter(), tmp_path, every[:1], num=2)
    assert grid.arrange(every[:1], several.names, {}).labels == [
        "seed 0 decoder.guidance_scale=1 #0",
        "seed 0 decoder.guidance_scale=1 #1",
    ]


def test_pictures_in_a_grid_are_neither_too_small_nor_too_large():
    sizes = [grid.fitted(Image.new("RGB", size)).size for size in ((8, 8), (96, 96), (200, 200), (1024, 512))]
    assert sizes == [(96, 96), (96, 96), (200, 200), (256, 128)]


def test_texts_are_shown_side_by_side_and_are_no_html(tmp_path):
    every = requests.expand(["<b>", "c"], [0], [{}])
    made = {item.prompt: {"text": f"{item.prompt} & more"} for item in every[:1]}
    page = grid.texts(grid.arrange(every, lambda item: [item.prompt], made), tmp_path).read_text()
    assert "<pre>&lt;b&gt; &amp; more</pre>" in page and page.count("<tr>") == 3 and "<b>" not in page
