import dataclasses
import functools
import json
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.lm import LMConfig, logits
from gen.nn.transformer import TransformerConfig
from gen.training import state as states
from launch.bench import language, lm_cost, memory, versus
from launch.bench.curve import Curve, draw, measure_curve
from launch.bench.language import Comparison
from launch.bench.peer import Peer, find, plain
from launch.bench.versus import shown

# Speaks the protocol: every training step takes a second and loses its rate, every token two seconds.
FAKE = """
import json, sys
for line in sys.stdin:
    ask = json.loads(line)
    do = ask.pop("do")
    print(f"{do} {sorted(ask)}", file=sys.stderr)
    if do == "describe":
        answer = {"device": "fake"}
    elif do == "load":
        config = json.load(open(ask["directory"] + "/config.json"))
        answer = {"error": "no room"} if config["n_positions"] > 16 else {}
    elif do == "train":
        answer = {"seconds": [1.0] * len(ask["batches"]), "losses": [batch["lr"] for batch in ask["batches"]]}
    elif do == "decode":
        tokens = [row[:1] * (1 + ask["new"]) for row in ask["tokens"]]
        answer = {"prefill": 0.5, "seconds": 2.0 * ask["new"], "tokens": tokens}
    elif do == "stop":
        break
    print(json.dumps(answer), flush=True)
"""

DATA = {
    "task": {"name": "lm", "prompt": 2},
    "model": {
        "vocab": 32,
        "context": 16,
        "learned_positions": True,
        "transformer": {
            "width": 16,
            "layers": 2,
            "heads": 2,
            "activation": "gelu_tanh",
            "causal": True,
            "remat": "full",
        },
    },
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"lr": 0.25, "warmup": 2, "b2": 0.95, "weight_decay": 0.1},
    "train": {"steps": 4, "batch_size": 8},
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(language, "SETTLE", 0.0)
    monkeypatch.setattr(lm_cost, "SWEPT", 2**16)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "fake.py"
    path.write_text(FAKE)
    return path


@pytest.fixture
def peer(program):
    with Peer(sys.executable, compile=False, program=program) as peer:
        yield peer


@pytest.fixture(scope="module")
def model():
    return language.prepare(DATA, [], rows=2, length=8)


GPT = LMConfig(
    vocab=50257,
    context=1024,
    transformer=TransformerConfig(width=768, layers=12, heads=12, causal=True),
    learned_positions=True,
)


def test_the_work_of_gpt2_is_that_of_the_formula():
    assert lm_cost.multiplied(GPT) == 124_439_808 - 1024 * 768
    assert lm_cost.train_flops(GPT, tokens=1, length=1024) == 6 * 123_653_376 + 12 * 12 * 12 * 64 * 1024
    assert lm_cost.decode_flops(GPT, rows=16, slots=48) == 16 * (2 * 123_653_376 + 4 * 12 * 12 * 64 * 48)
    # keys and values: 2 x 12 layers x 768 numbers for each of 16 x 48 tokens, all numbers of four bytes
    assert lm_cost.decode_bytes(GPT, rows=16, slots=48) == 4 * (123_653_376 + 2 * 12 * 768 * 16 * 48)


def test_a_table_that_is_only_looked_up_does_not_count():
    untied = dataclasses.replace(GPT, tied=False)
    assert lm_cost.multiplied(untied) == lm_cost.multiplied(GPT)


def test_figures_follow_from_times():
    row = Comparison("step", seconds=0.5, peer=2.0, tokens=100, flops=10**12, peak=8e12).row()
    assert row["ratio"] == 4.0  # gen is four times as fast
    assert row["flops_per_second"] == 2e12 and row["tokens_per_second"] == 200
    assert (row["mfu"], row["peer_mfu"]) == (0.25, 0.0625)


def test_a_figure_without_a_peer_leaves_its_columns_empty():
    cells = shown(Comparison("step", seconds=0.5, peer=None, tokens=100, flops=10**9))
    assert cells["ratio"] == cells["torch, ms"] == cells["torch, MFU"] == cells["MFU"] == cells["same text"] == ""
    assert (cells["ms"], cells["tokens/s"], cells["GFLOP/s"]) == ("500", "200", "2.0")
    assert shown(Comparison("decode", 0.5, 1.0, 1, same=0.0))["same text"] == "0%"  # not the same is not unknown


@pytest.mark.prove  # compiles a training step
def test_both_sides_are_timed_and_take_turns(model, peer):
    peer.load(model.cfg, states.weights(model.state)["model"])
    prefill, decode = language.measure_decode(model, peer, rows=2, prompt=4, new=3, repeats=1, bandwidth=1e9)
    assert (prefill.peer, decode.peer) == (0.5, 2.0)  # of one token of every row
    assert (prefill.tokens, decode.tokens) == (8, 2)
    assert decode.least == lm_cost.decode_bytes(model.cfg.model, 2, 4 + 3 // 2) / 1e9
    step = language.measure_step(fresh(model), peer, length=8, repeats=1)
    assert (step.peer, step.tokens) == (1.0, 16) and step.flops == lm_cost.train_flops(model.cfg.model, 16, 8)
    for figure in (prefill, decode, step):
        assert 0 < figure.seconds < 60


def fresh(model):
    """The model with a state of its own, which a training step may take."""
    return model._replace(state=jax.tree.map(lambda x: x.copy(), model.state))


def test_what_is_decoded_is_the_models_best(model):
    weights = states.weights(model.state)["model"]
    prompt_BT = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.int32)
    with jax.set_mesh(model.mesh):
        written_BT = language.writer(model, weights, prompt_BT, new=2)()["tokens"]
    row_BT = np.concatenate([prompt_BT, written_BT], axis=1)
    assert written_BT.shape == (2, 3)
    best_BT = np.asarray(logits(weights, jnp.asarray(row_BT), model.cfg.model)).argmax(-1)
    np.testing.assert_array_equal(written_BT, best_BT[:, 3:-1])


def test_the_order_of_turns(monkeypatch):
    order, sleeps = [], []
    monkeypatch.setattr(language.time, "sleep", sleeps.append)
    answers = language.in_turn([lambda: order.append("a") or len(order), lambda: order.append("b")], repeats=2)
    assert order == ["a", "b"] * 3 and len(sleeps) == 6
    assert answers == [[1, 3, 5], [None] * 3]


def test_the_config_is_measured_as_said():
    cfg = language.resolve(DATA, [("model.transformer.remat", "dots")], rows=3, length=64)
    assert cfg.model.context == 64 and cfg.train.batch_size == 3 and cfg.task.across_documents
    assert cfg.model.transformer.remat == "dots"
    assert language.resolve(DATA, [], rows=3, length=8).model.transformer.remat == "none"
    assert language.resolve(DATA, [], rows=3, length=8).model.context == 16
    with pytest.raises(ValueError, match="no language model"):
        language.resolve({"task": {"name": "clip"}}, [], rows=1, length=8)


def test_prompts_that_do_not_fit_are_refused(model):
    with pytest.raises(ValueError, match="--prompt=12 and --new=8 do not fit model.context=16"):
        language.measure_decode(model, None, rows=1, prompt=12, new=8, repeats=1, bandwidth=1e9)


def test_a_peer_that_fails_or_ends_says_so(model, peer):
    long = dataclasses.replace(model.cfg, model=dataclasses.replace(model.cfg.model, context=64))
    weights = states.weights(model.state)["model"]
    with pytest.raises(ValueError, match="failed at 'load': no room"):
        peer.load(long, {**weights, "positions": jnp.zeros((64, 16))})
    with pytest.raises(ValueError, match="ended at 'stop'"):
        peer._ask("stop")


def test_a_peer_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        find(str(tmp_path / "python"))
    assert find(sys.executable) == sys.executable


def test_targets_that_weigh_nothing_are_marked():
    batch = {"tokens": np.array([[1, 2]]), "targets": np.array([[2, 3]]), "weights": np.array([[1.0, 0.0]])}
    assert plain(batch) == {"tokens": [[1, 2]], "targets": [[2, -1]]}


def test_the_two_losses_are_compared_at_first_and_at_last():
    gen = [float(i) for i in range(100)]
    peer = [x + 0.5 for x in gen]
    peer[3] += 1.0
    peer[90] += 2.0
    curve = Curve(gen, peer)
    assert curve.early == 1.5
    assert curve.late == pytest.approx(0.6)  # twenty steps, one of them 2 further away


@pytest.mark.prove  # compiles a training step
def test_a_curve_gives_the_peer_the_rates_and_the_rows_of_gen(peer, tmp_path):
    small = {**DATA, "model": {**DATA["model"], "vocab": 259}, "data": {"source": "text:x", "tokenizer": "bytes"}}
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "a.txt").write_text("to be or not to be " * 40)
    data = [("data.source", f"text:{folder}"), ("data.cache", str(tmp_path / "cache"))]
    curve = measure_curve(language.prepare(small, data, rows=2, length=16), peer)
    assert curve.peer == pytest.approx([0.0, 0.125, 0.25, 0.125])  # warmup of two, then half a cosine
    assert len(curve.gen) == 4 and curve.gen[0] == pytest.approx(np.log(259), abs=0.2)
    assert curve.gen[-1] < curve.gen[0]
    draw(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_that_of_one_row_and_grows_with_it(model, monkeypatch):
    monkeypatch.setattr(memory, "LAYERS", 1)
    short, long = memory.measure_memory(model.cfg.model, lengths=(128, 512))
    assert (short.length, long.length) == (128, 512)
    # in proportion at least: at this length all scores are held
    assert 4 * short.bytes <= long.bytes < 16 * short.bytes


def test_the_bench_writes_what_was_measured(program, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(versus, "Peer", functools.partial(Peer, program=program))
    other = {True: 3.0, False: None}
    monkeypatch.setattr(versus, "measure_step", lambda model, peer, *_: Comparison("step", 1.5, other[bool(peer)], 1))
    args = SimpleNamespace(config="x.py", peer=sys.executable, compile=None, repeats=1, rows=2, length=8, json=None)
    args.json = str(tmp_path / "figures.json")
    versus.measure_language(DATA, [], {"step"}, args)
    record = json.loads((tmp_path / "figures.json").read_text())
    assert record["peer"] == {"device": "fake", "compile": False}
    assert [(figure["name"], figure["ratio"]) for figure in record["figures"]] == [("step", 2.0)]
    args.peer = "none"
    versus.measure_language(DATA, [], {"step"}, args)
    assert "gen alone is measured" in capsys.readouterr().out
    record = json.loads((tmp_path / "figures.json").read_text())
    assert "peer" not in record and record["figures"][0]["ratio"] is None
