"""Texts of a long list, one prompt after the other, each as launch.sample would write it by itself.

Texts(language, TextRequest(num=4), made_with).make(items, ledger, step)
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gen.pipelines import write
from gen.pipelines.bulk.index import SampleIndex, identify
from gen.pipelines.bulk.requests import SampleRequest
from gen.pipelines.language import LanguageModel, sampling_params
from gen.pipelines.write import TextRequest


class BulkTexts:
    """What `request` asks for of each item, whose own settings stand over those of the request."""

    def __init__(self, language: LanguageModel, request: TextRequest, made_with: Mapping[str, Any]):
        self._language, self._request, self._made_with = language, request, made_with

    def check(self, items: Sequence[SampleRequest]) -> list[str]:
        """Raises ValueError for a prompt that leaves no room in the context, or a setting that the sampler has not."""
        for settings in {tuple(item.settings.items()) for item in items}:
            sampling_params(self._language, [*self._request.sampler, *settings])
        for prompt in dict.fromkeys(item.prompt for item in items):
            write.check_prompt(self._language, prompt, self._request.system)
        return []

    def names(self, item: SampleRequest) -> list[str]:
        """The ids of an item's texts."""
        record = self._record(item)
        return [identify(record, index) for index in range(self._request.num)]

    def make(self, items: Sequence[SampleRequest], ledger: SampleIndex, step: Callable[[int], None]) -> None:
        """Makes what is not in the ledger yet; `step` is told of so many more."""
        for item in items:
            due = [name for name in self.names(item) if name not in ledger]
            if due:
                for name, line in zip(self.names(item), write.written(self._language, self._record(item)), strict=True):
                    if name in due:
                        ledger.add({"id": name, **line})
                step(len(due))

    def _record(self, item: SampleRequest) -> dict[str, Any]:
        sampler = (*self._request.sampler, *item.settings.items())
        request = dataclasses.replace(self._request, sampler=sampler)
        record = write.record_of(self._language, request, item.seed, self._made_with)
        return {**record, "asked": item.prompt}
