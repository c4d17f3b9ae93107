"""Whether a name is that of a file within a folder, asked of the file system once a name.

placed = Placed(Path("birds"))
placed.check("more/robin.jpg")      # nothing, or Fault
"""

import errno
import os
import stat
from pathlib import Path

from gen.data.faults import ParseError
from gen.messages import short

# of a name that no file can have, or that leads nowhere; other errors are of the disk
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


class Placed:
    """Checks names against one folder; remembers its subfolders, not its files."""

    def __init__(self, folder: Path):
        self._root = os.path.realpath(folder)
        self._within: dict[str, bool] = {}  # subfolder: whether it lies inside, links followed

    def check(self, name: str) -> None:
        """Raises Fault unless `name` is a regular file inside the folder, or a link to one; OSError of the disk."""
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ParseError(f": the name {short(name)} is not UTF-8; rename the file") from error
        if os.path.isabs(name) or ".." in name.split("/"):
            raise ParseError(f": {short(name)} leads out of the folder")
        try:
            inside = self._inside(name)
        except ValueError as error:  # NUL
            raise ParseError(f": {short(name)} is not the name of a file: {error}") from error
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise
            why = "" if error.errno == errno.ENOENT else f": {os.strerror(error.errno)}"
            raise ParseError(f": there is no image {short(name)}{why}") from error
        if not inside:
            raise ParseError(f": {short(name)} leads out of the folder")

    def _inside(self, name: str) -> bool:
        path = os.path.join(self._root, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            mode = os.stat(path).st_mode
            inside = self._contains(path)
        else:
            folder = os.path.dirname(path)
            if folder not in self._within:
                self._within[folder] = self._contains(folder)
            inside = self._within[folder]
        if inside and not stat.S_ISREG(mode):
            raise ParseError(f": {short(name)} is not a regular file")
        return inside

    def _contains(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self._root or real.startswith(self._root.rstrip("/") + "/")
