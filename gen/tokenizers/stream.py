"""Text as it is generated, token by token: only what no later token can change.

    stream = Stream(tokenizer, tokenizer.encode("The capital of France is"))
    for token in tokens:
        print(stream.push(token), end="", flush=True)               # " Paris", with its space
    print(stream.finish())

All that `push` and `finish` returned, joined, is the text of `[*prompt, *tokens]` less that of `prompt`: a word behind
a prompt keeps the space between them. Where the tokens change how the prompt reads, as they do when they finish a
character that it ends within, the text begins with the first letter that is not the prompt's.
"""

import copy
import os.path

from gen.tokenizers.base import Tokenizer, Tokens


class Stream:
    """One text that grows behind a prompt, by default behind a letter; a text of its own behind no tokens, ()."""

    def __init__(self, tokenizer: Tokenizer, prompt: Tokens | None = None):
        self._decoder = tokenizer.decoder()
        for token in tokenizer.encode("a") if prompt is None else prompt:
            self._decoder.push(int(token))
        self._of_prompt = self._decoder.finish()  # text of the prompt that is not final yet

    def __copy__(self) -> "Stream":
        """The same text, to grow in another way."""
        other = object.__new__(Stream)
        other._decoder, other._of_prompt = copy.copy(self._decoder), self._of_prompt
        return other

    def push(self, token: int) -> str:
        """The text that is final with this token and was not before, often one word, sometimes nothing."""
        return self._new(self._decoder.push(token))

    def finish(self) -> str:
        """The text that was held back, when no token follows."""
        return self._new(self._decoder.finish())

    def _new(self, text: str) -> str:
        same = len(os.path.commonprefix([self._of_prompt, text]))
        self._of_prompt = self._of_prompt[same:] if same == len(text) else ""
        return text[same:]
