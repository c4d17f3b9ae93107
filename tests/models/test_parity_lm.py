import functools

import numpy as np
import pytest

from gen.interop.pretrained import load_pretrained
from gen.models import lm
from tests.language_peers import GPT2, LLAMA, write_directory
from tests.peers import assert_same, hasty, recorded


@pytest.fixture(scope="module", params=[*GPT2, *LLAMA])
def peer_and_model(request, tmp_path_factory):
    directory = write_directory(request.param, tmp_path_factory.mktemp("hub") / request.param)
    return recorded(request.param), load_pretrained(directory)


@pytest.fixture(scope="module")
def score(peer_and_model):
    return hasty(peer_and_model[1].logits)


def test_scores_are_the_peers(peer_and_model, score):
    peer, model = peer_and_model
    assert_same(score(model.params, peer.inputs["tokens"]), peer.outputs["logits"])


def test_each_recorded_token_is_the_likeliest_after_those_before_it(peer_and_model, score):
    peer, model = peer_and_model
    greedy, tokens_BT = peer.outputs["greedy"], np.zeros_like(peer.inputs["tokens"])
    starts = peer.inputs["length"]
    for row, prompt, n, continuation in zip(tokens_BT, peer.inputs["prompt"], starts, greedy, strict=True):
        row[: n + len(continuation)] = [*prompt[:n], *continuation]
    best_BT = np.argmax(score(model.params, tokens_BT), axis=-1)
    for row, n, continuation in zip(best_BT, starts, greedy, strict=True):
        np.testing.assert_array_equal(row[n - 1 : n - 1 + len(continuation)], continuation)


@pytest.mark.parametrize("peer_and_model", ["gpt2", "llama_tied", "llama3"], indirect=True)
def test_decoding_with_a_cache_writes_what_the_peer_writes(peer_and_model):
    peer, model = peer_and_model
    cfg, greedy_BN = model.cfg, peer.outputs["greedy"]
    prompt_BT, length_B = peer.inputs["prompt"], peer.inputs["length"]
    slots = prompt_BT.shape[1] + greedy_BN.shape[1]
    fill = hasty(functools.partial(lm.prefill, cfg=cfg, slots=slots))
    step = hasty(functools.partial(lm.decode, cfg=cfg))
    logits_BV, cache = fill(model.params, prompt_BT, length_B)
    taken_apart = lm.decode_params(model.params, cfg)
    written = []
    for i in range(greedy_BN.shape[1]):
        written.append(np.argmax(logits_BV, axis=-1).astype(np.int32))
        logits_B1V, cache = step(taken_apart, written[-1][:, None], length_B + i, cache)
        logits_BV = logits_B1V[:, 0]
    np.testing.assert_array_equal(np.stack(written, axis=1), greedy_BN)
