"""Texts of a long list, one prompt after the other, each as launch.sample would write it by itself.

Texts(language, args, overrides, made_with).make(items, ledger, step)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import write
from launch.language import Language
from launch.many.items import Item
from launch.many.ledger import Ledger, identify


class Texts:
    """`args.num` of each item, by the sampler of the command line under that of the item."""

    def __init__(
        self, language: Language, args: Any, overrides: Sequence[tuple[str, str]], made_with: Mapping[str, Any]
    ):
        self._language, self._args, self._overrides, self._made_with = language, args, overrides, made_with

    def check(self, items: Sequence[Item]) -> list[str]:
        """Raises ValueError for a prompt that leaves no room in the context, or a setting that the sampler has not."""
        for settings in {tuple(item.settings.items()) for item in items}:
            write.choice_of(self._language, [*self._overrides, *settings])
        for prompt in dict.fromkeys(item.prompt for item in items):
            write.check_prompt(self._language, prompt, self._args.system)
        return []

    def names(self, item: Item) -> list[str]:
        """The ids of an item's texts."""
        record = self._record(item)
        return [identify(record, index) for index in range(self._args.num)]

    def make(self, items: Sequence[Item], ledger: Ledger, step: Callable[[int], None]) -> None:
        """Makes what is not in the ledger yet; `step` is told of so many more."""
        for item in items:
            due = [name for name in self.names(item) if name not in ledger]
            if due:
                for name, line in zip(self.names(item), write.written(self._language, self._record(item)), strict=True):
                    if name in due:
                        ledger.add({"id": name, **line})
                step(len(due))

    def _record(self, item: Item) -> dict[str, Any]:
        overrides = [*self._overrides, *item.settings.items()]
        record = write.record_of(self._language, self._args, item.seed, overrides, self._made_with)
        return {**record, "asked": item.prompt}
