"""Text as it is generated, token by token, for a terminal: only what no later token can change.

A token may end within a UTF-8 character, which then reads as U+FFFD until the rest is there, and SentencePiece leaves
out the space that a text begins with, but not that of a word further on. So new text is what `decode` says of the
last tokens together, less what it said before.

    stream = Stream(tokenizer)
    for token in tokens:
        print(stream.push(token), end="", flush=True)
    print(stream.finish())

All that `push` and `finish` returned, joined, is `tokenizer.decode(tokens)`.
"""

from gen.tokenizers.base import Tokenizer

REPLACEMENT = "\ufffd"
UNFINISHED = 3  # bytes of an unfinished UTF-8 character, and so the most replacement characters that may still change


class Stream:
    """One text that grows."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []  # those told last, as context, and those after them
        self._told = 0  # tokens among them that were wholly told
        self._shown = 0  # characters of their text that were told

    def push(self, token: int) -> str:
        """The text that is final with this token and was not before, often one word, sometimes nothing."""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens)
        unfinished = len(text) - len(text.rstrip(REPLACEMENT))
        new = self._tell(text[: len(text) - min(unfinished, UNFINISHED)])
        if new and not unfinished:  # all is told: the tokens before these are no longer needed
            self._tokens = self._tokens[self._told :]
            self._told = len(self._tokens)
            self._shown = len(self._tokenizer.decode(self._tokens))
        return new

    def finish(self) -> str:
        """What was held back, when no token follows."""
        return self._tell(self._tokenizer.decode(self._tokens))

    def _tell(self, final: str) -> str:
        new = final[self._shown :]
        self._shown = max(self._shown, len(final))
        return new
