"""A text of a subword tokenizer as it grows, without the white space that `encode` puts at the ends of every text.

decoder = SubwordDecoder(token, chain, ends=(" ", ""), where="run/tokenizer.json")
decoder.push(17) + decoder.push(4) + decoder.finish()
"""

import copy
from collections.abc import Callable

from gen.tokenizers.incremental import Chain
from gen.tokenizers.library import errors


class SubwordDecoder:
    """The tokens of a text one by one, through the `chain` of its decoder, without what stands at its ends.

    `token` gives the string of an id, or None. Raises ValueError where the library fails, naming the file `where`.
    """

    def __init__(self, token: Callable[[int], str | None], chain: Chain, ends: tuple[str, str], where: str):
        self._token, self._chain, self._where = token, copy.copy(chain), where
        self._before, self._after = ends
        self._kept = ""  # what may turn out to be one of the ends

    def __copy__(self) -> "SubwordDecoder":
        other = SubwordDecoder(self._token, self._chain, (self._before, self._after), self._where)
        other._kept = self._kept
        return other

    def push(self, token: int) -> str:
        name = self._token(token)
        if name is None:
            return ""
        with errors(self._where, "decode a text"):
            text = self._kept + self._chain.push(name)
        if self._before:
            if len(text) < len(self._before) and self._before.startswith(text):
                self._kept = text
                return ""
            text, self._before = text.removeprefix(self._before), ""
        size = next((n for n in range(len(self._after), 0, -1) if text.endswith(self._after[:n])), 0)
        final = len(text) - size
        self._kept = text[final:]
        return text[:final]

    def finish(self) -> str:
        with errors(self._where, "decode a text"):
            text = self._kept + self._chain.finish()
        return text.removeprefix(self._before).removesuffix(self._after)
