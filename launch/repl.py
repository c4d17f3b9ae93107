"""The terminal's side of a conversation, for launch.chat: lines in, answers and notes out, ratings into a file.

Talk(conversation, Ratings(Path("ratings.jsonl")), terminal=True).run()

Answers go to standard output and notes to standard error, so that a pipe carries text alone.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gen import files
from gen.config import nearest
from gen.data.rankings import to_line
from gen.messages import harmless
from gen.sample.conversation import Answer, Conversation, Preference, Refused
from gen.tokenizers.printable import legible

COMMANDS = {
    "/up": "the last answer is good",
    "/down": "the last answer is bad",
    "/again": "another answer in its place",
    "/undo": "takes the last message and its answer back",
    "/new": "begins a new conversation",
    "/show": "the tokens that the model was given, and its answer",
    "/help": "this list",
    "/quit": "leaves, as Ctrl-D does; Ctrl-C stops an answer",
}


class Ratings:
    """Preferences as lines of a file that data.source=preferences:FILE reads. What cannot be written waits."""

    def __init__(self, path: Path):
        self.path = path
        self._waiting: list[str] = []

    def add(self, preferences: Sequence[Preference]) -> int:
        """Appends these and those that wait; returns how many. Raises OSError when the file cannot be written."""
        for messages, chosen, rejected in preferences:
            self._waiting.append(to_line(messages, [chosen, rejected], [0, 1]))
        if not self._waiting:
            return 0
        files.append_text(self.path, "".join(self._waiting))
        added = len(self._waiting)
        self._waiting.clear()
        return added


class Talk:
    """`terminal` says that a person sits at it: lines are asked for, and what cannot be printed is made visible."""

    def __init__(self, conversation: Conversation, ratings: Ratings, terminal: bool):
        self._conversation, self._ratings, self._terminal = conversation, ratings, terminal
        self._console = Console(stderr=True, highlight=False)
        self._left_out = 0
        self._stopped = False  # by Ctrl-C, and nothing was typed since

    def run(self) -> None:
        """Until /quit, the end of input, or a second Ctrl-C."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (input then edits lines and remembers them; not on Windows)
        while True:
            try:
                line = input("> " if self._terminal else "")
            except EOFError:
                self._leave_line()
                return
            except KeyboardInterrupt:
                self._leave_line()
                if self._stopped:
                    return
                self._stopped = True
                self._note("Ctrl-C again leaves")
                continue
            self._stopped = False
            if line.rstrip() == "/quit":
                return
            try:
                self._obey(line)
            except Refused as refusal:
                self._note(str(refusal))
            except KeyboardInterrupt:
                self._stopped = True
                self._note("(stopped before a word was said)")

    def _obey(self, line: str) -> None:
        match line.rstrip():
            case "":
                pass
            case "/up" | "/down" as rating:
                self._rate(rating)
            case "/again":
                before = self._conversation.messages[-1:]
                self._show(self._conversation.again)
                if self._conversation.messages[-1:] == before:
                    self._note("(the same as before; raise --sampler.temperature for others)")
            case "/undo":
                self._conversation.undo()
                self._note("took back the last message and its answer")
            case "/new":
                self._conversation.clear()
                self._left_out = 0
                self._note("a new conversation")
            case "/show":
                print(self._visible(legible(self._conversation.tokens, self._conversation.tokenizer)), flush=True)
            case "/help":
                print("\n".join(f"{name:8}{purpose}" for name, purpose in COMMANDS.items()), flush=True)
            case text if text.startswith("/"):
                known = nearest(text.split()[0], COMMANDS)
                raise Refused(f"there is no command {text!r}; {known} (a message may begin with a space)")
            case text:
                self._show(lambda show: self._conversation.say(text.strip(), show))

    def _show(self, answer: Callable[[Callable[[str], None]], Answer]) -> None:
        """Prints an answer as it is written, and notes what should be known of it."""
        given = answer(lambda text: print(self._visible(text), end="", flush=True))
        print(flush=True)
        if given.reason == "stopped":
            self._stopped = True
            self._note("(stopped)")
        elif given.reason != "end":
            self._note(f"(cut at {given.tokens} tokens)")
        elif not given.text.strip():
            self._note("(an empty answer; preferences leave it out)")
        if given.left_out > self._left_out:
            left = f"{given.left_out} exchange{'s' * (given.left_out > 1)}"
            self._note(f"(the oldest {left} no longer fit the model's context and were left out)")
        self._left_out = given.left_out

    def _rate(self, rating: str) -> None:
        preferences = self._conversation.rate(up=rating == "/up")
        try:
            added = self._ratings.add(preferences)
        except OSError as error:
            self._note(f"cannot write {self._ratings.path} ({error.strerror}); the next rating tries again")
        except ValueError as error:
            self._note(f"not written: {error}")
        else:
            kept = f", {added} preference{'s' * (added > 1)} added to {self._ratings.path}" if added else ""
            self._note(f"rated {rating[1:]}{kept}")

    def _leave_line(self) -> None:
        if self._terminal:
            print()

    def _visible(self, text: str) -> str:
        return harmless(text) if self._terminal else text

    def _note(self, text: str) -> None:
        self._console.print(Text(text, style="dim"), soft_wrap=True)
