"""What launch.sample does with a list: prompts by seeds and settings, from where it was left, this process's share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gen.messages import note, say
from gen.pipelines.bulk import grid, prompts, requests
from gen.pipelines.bulk.bulk_pictures import BulkPictures
from gen.pipelines.bulk.bulk_texts import BulkTexts
from gen.pipelines.bulk.index import SampleIndex
from gen.runs import output
from launch.sampling import pictures
from launch.sampling import texts as writing

type Overrides = Sequence[tuple[str, str]]


def asked(args: Any) -> list[requests.SampleRequest]:
    """Raises ValueError for a file, a seed or a setting that is none."""
    return requests.expand(prompts.given(args.prompt, args.prompts), seeds(args), requests.vary(args.vary))


def seeds(args: Any) -> list[int]:
    for text in args.seeds or []:
        if not text.strip().isdecimal() or int(text) >= 2**32:
            raise ValueError(f"--seeds={','.join(args.seeds)}: {text!r} is not a number from 0 to 2^32 - 1")
    return list(dict.fromkeys(int(text) for text in args.seeds)) if args.seeds else [args.seed]


def draw(args: Any, overrides: Overrides, mesh: Mesh, made_with: dict[str, Any], place: tuple[int, int]) -> int:
    """Pictures, for `place`, process and processes."""
    out = output.folder(output.samples(args.out, args.workdir))
    stack = pictures.open_for(args, overrides, mesh)
    maker = BulkPictures(stack, args.num, args.batch, args.from_text_embedding, made_with)
    return make(args, maker, place, grid.pictures, out)


def texts(args: Any, overrides: Overrides, mesh: Mesh, made_with: dict[str, Any], place: tuple[int, int]) -> int:
    out = output.folder(output.samples(args.out, args.workdir))
    maker = BulkTexts(writing.open_for(args, mesh), writing.request_of(args, overrides), made_with)
    return make(args, maker, place, grid.texts, out)


def make(args: Any, maker: BulkPictures | BulkTexts, place: tuple[int, int], show: Any, out: Path) -> int:
    """Makes this process's share of what is missing, and shows all in a grid if it is small enough to look at."""
    every = asked(args)
    for sentence in maker.check(every):
        note(sentence)
    mine = requests.share(every, *place)
    ledger = SampleIndex(out, *place)
    names = [name for item in mine for name in maker.names(item)]
    done = sum(name in ledger for name in names)
    if done:
        print(f"{done} of {len(names)} samples are there already")
    columns = ("[bold]samples", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        row = bar.add_task("samples", total=len(names), completed=done)
        maker.make(mine, ledger, lambda count: bar.advance(row, count))
    say(f"wrote {len(names) - done} samples, each a line of {ledger.path}")
    if place[0] == 0 and len(every) * args.num <= grid.LARGEST:
        made = SampleIndex(out, *place).made  # with what other processes have made by now
        cells = grid.arrange(every, maker.names, made)
        missing = len(every) * args.num - len(cells.cells)
        said = f"; {missing} are still to come, and the same command draws it with them" if missing else ""
        say(f"a grid of all that are there: {show(cells, out)}{said}")
    return 0
