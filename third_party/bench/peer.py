"""The other side of `python -m launch.bench` for language models: transformers' model, trained and read by torch.

Started by the bench with the Python that has torch. One JSON object a line comes in, one goes out:

    {"do": "describe"}                                  {"device": "cpu", "threads": 2, "torch": "2.13.0", ...}
    {"do": "load", "directory": DIR, "dtype": "float32", "compile": false,
     "optim": {"betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0}}          {"parameters": 124439808}
    {"do": "decode", "tokens": [[...]], "new": 32}      {"prefill": SECONDS, "seconds": SECONDS, "tokens": [[...]]}
    {"do": "train", "batches": [{"tokens": [[...]], "targets": [[...]], "lr": 6e-4}, ...]}
                                                        {"seconds": [...], "losses": [...]}

A target of -1 does not count. dtype bfloat16 means, as in nanoGPT, autocast over weights kept in float32 in training,
and weights in bfloat16 in decoding. A failure answers {"error": SENTENCE}.
"""

import copy
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, StaticCache

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


def now():
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


class Peer:
    def describe(self):
        device = torch.cuda.get_device_name() if CUDA else "cpu"
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        return {"device": device, "threads": torch.get_num_threads(), **versions}

    def load(self, directory, dtype, compile, optim):
        self.dtype, self.compiles, self.clip = getattr(torch, dtype), compile, optim["clip"]
        kind = {"dtype": torch.float32, "attn_implementation": "sdpa"}
        self.model = AutoModelForCausalLM.from_pretrained(directory, **kind).to(DEVICE)
        self.reader, self.cache = None, None
        weights = list(self.model.parameters())
        # nanoGPT's groups: what has two axes decays
        groups = [
            {"params": [p for p in weights if p.dim() >= 2], "weight_decay": optim["weight_decay"]},
            {"params": [p for p in weights if p.dim() < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=optim["betas"], eps=optim["eps"], fused=True)
        self.loss = torch.compile(self._loss) if compile else self._loss
        return {"parameters": sum(p.numel() for p in weights)}

    def train(self, batches):
        self.model.train()
        seconds, losses = [], []
        for batch in batches:
            tokens = torch.tensor(batch["tokens"], device=DEVICE)
            targets = torch.tensor(batch["targets"], device=DEVICE)
            for group in self.optimizer.param_groups:
                group["lr"] = batch["lr"]
            began = now()
            with torch.autocast(DEVICE, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                loss = self.loss(tokens, targets)
            loss.backward()
            if self.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            seconds.append(now() - began)
            losses.append(loss.item())
        return {"seconds": seconds, "losses": losses}

    @torch.inference_mode()
    def decode(self, tokens, new):
        reader = self._reader()
        tokens = torch.tensor(tokens, device=DEVICE)
        rows, length = tokens.shape
        cache = self._static_cache(reader, rows, length + new) if self.compiles else None
        forward = self.step if self.compiles else reader
        began = now()
        read = reader(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        written = [read.logits[:, -1].argmax(-1, keepdim=True)]
        prefilled = now()
        for slot in range(length, length + new):
            place = {"position_ids": torch.full((1, 1), slot, device=DEVICE)} if self.compiles else {}
            read = forward(written[-1], past_key_values=read.past_key_values, use_cache=True, **place)
            written.append(read.logits[:, -1].argmax(-1, keepdim=True))
        ended = now()
        return {"prefill": prefilled - began, "seconds": ended - prefilled, "tokens": torch.cat(written, 1).tolist()}

    def _loss(self, tokens, targets):
        logits = self.model(tokens, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    def _reader(self):
        """The weights in the dtype that they are read in."""
        if self.reader is None:
            model = self.model if self.dtype == torch.float32 else copy.deepcopy(self.model).to(self.dtype)
            self.reader = model.eval()
            if self.compiles:
                self.step = torch.compile(model, mode="reduce-overhead")
        return self.reader.eval()

    def _static_cache(self, reader, rows, slots):
        """One cache for all calls of a shape: CUDA graphs read it where it was."""
        if self.cache is None or self.cache[0] != (rows, slots):
            self.cache = (rows, slots), StaticCache(config=reader.config, max_cache_len=slots)
        self.cache[1].reset()
        return self.cache[1]


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(peer, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
