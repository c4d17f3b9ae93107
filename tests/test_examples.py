"""The scripts of examples/ run as they stand, and `import gen` imports nothing slow."""

import runpy
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from PIL import Image

import gen
from gen import exit_codes
from gen import mesh as meshes
from gen.sample import png

ROOT = Path(__file__).parents[1]
FROZEN = ROOT / "tests" / "frozen" / "0.1.0"


@pytest.fixture
def example(monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.chdir(ROOT)
        capsys.readouterr()
        found = runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return found, capsys.readouterr().out

    return run


def test_every_example_is_run_here():
    tests = Path(__file__).read_text()
    assert all(f'example("{path.stem}"' in tests for path in (ROOT / "examples").glob("*.py"))


def test_importing_gen_is_quick():
    code = "import sys, gen; print(sorted({'jax', 'numpy', 'flax', 'absl'} & sys.modules.keys()), dir(gen))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ") and "'load'" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'lode'; it has .*load"):
        gen.lode  # noqa: B018


def test_a_language_model_is_sampled_and_scored(example):
    found, output = example("language_model", FROZEN / "lm")
    model = found["model"]
    (one,) = model.generate("to be", max_new_tokens=4, temperature=0.0)
    assert len(one.tokens) == 4 and one.text in model.generate(["to be"], max_new_tokens=4, temperature=0.0)[0].text
    assert float(output.splitlines()[-1]) < 0
    with pytest.raises(ValueError, match="temprature.*did you mean 'temperature'"):
        model.generate("to be", temprature=0.5)
    with pytest.raises(ValueError, match="has no template"):
        model.chat()


def test_logits_agree_with_scores():
    """Two paths to one number: the score of a continuation is the sum of its log-probabilities."""
    model = gen.load(FROZEN / "lm")
    logits_TV = model.logits("the third")
    log_p_TV = jax.nn.log_softmax(logits_TV, -1)
    tokens = model.generator.encode("the third")
    total = sum(float(log_p_TV[i, token]) for i, token in enumerate(tokens[1:]))
    (score,) = model.scorer.score_tokens([([], tokens[1:])])
    assert score.log_p == pytest.approx(total, rel=1e-4)


def test_a_model_that_converses(example):
    found, _ = example("language_model", FROZEN / "sft")
    answer = found["model"].chat(max_new_tokens=4).say("Hi")
    assert 1 <= answer.tokens <= 4


def test_pictures_carry_what_replays_them(example, tmp_path):
    found, _ = example("pictures", FROZEN / "stack", tmp_path / "seven.png")
    first, second = found["pictures"]
    pixels, record = png.read(tmp_path / "seven.png")
    assert record["samplers"]["decoder"]["guidance_scale"] == 2.0 and record["index"] == 0
    np.testing.assert_array_equal(pixels, np.asarray(first.image))
    assert (first.pixels != second.pixels).any()


def test_own_data_trains_a_shipped_recipe(example, tmp_path):
    found, output = example("own_data", tmp_path / "run")
    assert found["run"].done and -1 <= float(output.strip().splitlines()[-1].strip("[]")) <= 1
    clip, birds = found["clip"], found["birds"]
    one = clip.embed(images=[birds[3]["image"], Image.fromarray(birds[4]["image"])])
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="give either images= or texts="):
        clip.embed()


def test_an_own_task_is_trained_resumed_and_measured(example, tmp_path):
    found, _ = example("own_task", tmp_path / "run")
    np.testing.assert_allclose(found["run"].load().params["model"]["w"], [1, 2, 3], atol=1e-3)
    again = gen.train(found["recipe"], tmp_path / "run", task=found["LeastSquares"](), data=found["examples"])
    assert again.status == exit_codes.DONE
    assert gen.evaluate(tmp_path / "run")["metrics"]["loss"] < 1e-6
    trained = again.load()
    batch = {name: np.stack([one[name] for one in found["examples"][:8]]) for name in ("x", "y")}
    assert trained.apply(trained.params, batch)["loss"] < 1e-6
    wrong = [{"x": np.zeros(2, np.float32), "y": np.float32(0)}]
    with pytest.raises(ValueError, match=r"the task reads examples of x float32\[3\].*has x float32\[2\]"):
        gen.train(found["recipe"], tmp_path / "other", task=found["LeastSquares"](), data=wrong)


def test_public_weights(example, tmp_path):
    from tests.pipelines.test_usage import directory

    _, output = example("public_weights", directory("gpt2", tmp_path / "hub"))
    assert output.startswith("(")


def test_meshes_of_jax_are_taken_or_refused_in_a_sentence():
    devices = np.array(jax.devices()).reshape(2, 4)
    taken = meshes.taken(Mesh(devices, ("tensor", "data")))
    assert dict(taken.shape) == {"data": 4, "fsdp": 1, "context": 1, "tensor": 2, "expert": 1}
    assert taken.devices[1, 0, 0, 1, 0] == devices[1, 1]
    with pytest.raises(ValueError, match="the mesh has an axis 'model'; gen's axes are data, fsdp"):
        gen.load(FROZEN / "lm", Mesh(devices, ("data", "model")))
