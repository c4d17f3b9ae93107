"""The source of the Python standard library: some ten megabytes of real code on every machine, with nothing to fetch.

    Stdlib("train", test_fraction=0.1)

A file is a document, read as text by the encoding that it declares (PEP 263) and never run. Tests, bundled packages
and what was generated for one machine stay out; a hash of its path puts a file into the train or the test split.
"""

import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from gen.data.corpus import Document
from gen.data.source import digest, train_or_test

LEFT_OUT = {"test", "tests", "idle_test", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
MACHINE = ("_sysconfigdata", "python-config")  # how names of files begin that tell how this Python was built


class Stdlib:
    """The `test_fraction` of the library's files that is the test split, or the rest, "train"."""

    def __init__(self, split: str, test_fraction: float, folder: str | Path | None = None):
        """Raises ValueError when this Python came without its source or the split is empty.

        `folder` is another library to read than that of the Python which runs.
        """
        self.name = f"stdlib ({split})"
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []
        self._folder = Path(folder or sysconfig.get_path("stdlib"))
        names = sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.py"))
        names = [name for name in names if _belongs(Path(name))]
        if not names:
            raise ValueError(f"there is no source of the standard library in {self._folder}; use another data set")
        self._names = [names[i] for i in train_or_test(names, split, test_fraction, "stdlib")]
        contents = ((self._folder / name).read_bytes() for name in self._names)
        parts = (part for pair in zip(self._names, contents, strict=True) for part in pair)
        self.fingerprint = digest("stdlib", *parts)

    def __len__(self) -> int:
        return len(self._names)

    def documents(self) -> Iterator[Document]:
        for name in self._names:
            try:
                with tokenize.open(self._folder / name) as source:
                    text = source.read()
            except (SyntaxError, UnicodeDecodeError) as error:  # an encoding that does not exist or does not fit
                self.skipped[name] = str(error)
                continue
            yield Document(name, text)


def _belongs(path: Path) -> bool:
    return not LEFT_OUT & set(path.parts) and not path.name.startswith(MACHINE)
