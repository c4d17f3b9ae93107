"""gen's language models in EleutherAI's evaluation harness (https://github.com/EleutherAI/lm-evaluation-harness).

    results = evaluate(Scorer(...), Generator(...), ["lambada_openai", "hellaswag"], shots=0)
    results["hellaswag"]["acc_norm,none"]

Needs the optional `lm-eval`. Its tasks fetch data sets, and some run code of their own: what is named here is trusted.
"""

from collections.abc import Sequence
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from gen import rng
from gen.sample.generator import Generator
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Scorer

# How tasks call the most tokens to write, the first that is given counts.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


def evaluate(
    reader: Scorer, writer: Generator, tasks: Sequence[str | dict], shots: int | None = None, limit: int | None = None
) -> dict[str, Any]:
    """{task: {metric: value}}. `tasks` are names or the harness's own configs; `limit` is a number of documents."""
    results = simple_evaluate(Harness(reader, writer), tasks=list(tasks), num_fewshot=shots, limit=limit)
    return results["results"]


class Harness(TemplateLM):
    """A model as the harness asks it. `batch` texts are written at a time, `seed` is that of sampled ones."""

    def __init__(self, reader: Scorer, writer: Generator, batch: int = 16, seed: int = 0):
        super().__init__()
        self.reader, self.writer, self.batch, self.seed = reader, writer, batch, seed

    @property
    def eot_token_id(self) -> int:
        return self.writer.tokenizer.end

    @property
    def prefix_token_id(self) -> int:
        return self.writer.tokenizer.start

    @property
    def max_length(self) -> int:
        return self.writer.model.context

    @property
    def max_gen_toks(self) -> int:
        """Where a task does not say."""
        return min(256, self.max_length // 2)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.writer.tokenizer.encode(string)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        # white space goes to the continuation, as in every model of the harness
        bare = context.rstrip()
        return self.reader.split(bare, context[len(bare) :] + continuation)

    def _loglikelihood_tokens(self, requests: Sequence[tuple], **kwargs: Any) -> list[tuple[float, bool]]:
        answers = self._scores([(context, more) for _, context, more in requests])
        for (texts, *_), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def _scores(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        # an empty context comes as the start token, which `score_tokens` puts where nothing else comes before
        bare = [(context[context[:1] == [self.prefix_token_id] :], more) for context, more in rows]
        return [(score.log_p, score.greedy) for score in self.reader.score_tokens(bare)]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Of whole texts: windows of the context's length, each token predicted once."""
        windows = [self._windows(request.args[0]) for request in requests]
        scores = iter(self._scores([window for part in windows for window in part]))
        totals = [sum((next(scores)[0] for _ in part), 0.0) for part in windows]
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        windows = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1)
        return [make_disjoint_window(window) for window in windows]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        asked = [self._asked(*request.args) for request in requests]
        # rows of one batch share their settings; those of similar length share work
        order = sorted(range(len(asked)), key=lambda i: (repr(asked[i][1:]), len(asked[i][0])))
        texts = [""] * len(asked)
        while order:
            _, *how = asked[order[0]]
            chosen = [i for i in order[: self.batch] if asked[i][1:] == tuple(how)]
            order = order[len(chosen) :]
            until, new, choice = how
            seed = int(rng.host(self.seed, "harness", len(order)).integers(2**31))
            prompts = [asked[i][0] for i in chosen]
            written = self.writer.generate(prompts, new=new, stop=until, choice=choice, seed=seed)
            for i, answer in zip(chosen, written, strict=True):
                texts[i] = answer.text
                self.cache_hook.add_partial("generate_until", requests[i].args, answer.text)
        return texts

    def _asked(self, prompt: str, settings: dict) -> tuple[str, tuple[str, ...], int, SamplingParams]:
        """The prompt as far as it fits, and what the task wants: stop strings, tokens and choice."""
        settings = dict(settings)
        until = settings.pop("until", None) or ()
        until = (until,) if isinstance(until, str) else tuple(text for text in until if text)
        lengths = [int(settings.pop(name)) for name in LENGTHS if settings.get(name) is not None]
        new = lengths[0] if lengths else self.max_gen_toks
        # half of the context at least is for the prompt, of which the last part counts
        prompt = last(self.writer, prompt, max(self.max_length - new, self.max_length // 2) - 1)
        return prompt, until, new, chosen(settings)


def chosen(settings: dict) -> SamplingParams:
    """The harness's names for how tokens are chosen; the best one each time unless it says `do_sample` or gives a
    temperature. Raises ValueError for a name that gen has not."""
    settings = {name: value for name, value in settings.items() if value is not None}
    temperature = float(settings.pop("temperature", 1.0 if settings.get("do_sample") else 0.0))
    if not settings.pop("do_sample", temperature > 0):
        temperature = 0.0
    kinds = {"top_k": int, "top_p": float, "min_p": float, "repetition_penalty": float}
    if unknown := settings.keys() - kinds:
        raise ValueError(f"the task asks for {', '.join(sorted(unknown))}, which gen has not; take it out of the task")
    given = {name.removeprefix("repetition_"): kinds[name](value) for name, value in settings.items()}
    return SamplingParams(temperature, **given)


def last(writer: Generator, text: str, room: int) -> str:
    """The end of a text that is at most `room` tokens long, and begins with a whole character."""
    tokenizer = writer.tokenizer
    tokens = tokenizer.encode(text)
    if len(tokens) <= room:
        return text
    whole = tokenizer.decode(tokens)
    for keep in range(room, 0, -1):
        end = tokenizer.decode(tokens[-keep:])
        if whole.endswith(end) and len(tokenizer.encode(end)) <= room:
            return end
    return ""
