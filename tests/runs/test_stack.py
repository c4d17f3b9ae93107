"""A whole stack in small: trained, sampled, evaluated; stale stages, damage, prompts and missing stages."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from gen import exit_codes
from gen import mesh as meshes
from gen.checkpoint import restore
from gen.checkpoint.restore import NoIntactCheckpoint
from gen.mesh import MeshConfig
from gen.pipelines.pictures import PictureStack
from gen.replay import replay_picture as picture
from gen.runs import config_file, reader, stack, train
from gen.runs import evaluate as evaluation
from gen.sample import png
from launch import sample
from tests import small

pytestmark = pytest.mark.prove  # minutes of compilation

CONFIG = "configs/unclip/digits.py:tiny"
PROMPT = "a handwritten seven in red ink on yellow paper"


def tiny(**overrides):
    # one device: batches of 8 would divide over the eight fake ones, but compile for longer
    return train.with_overrides(config_file.load_config(CONFIG), [("mesh.data", "-1"), *overrides.items()])


@pytest.fixture(scope="module")
def trained_stack(tmp_path_factory):
    root = tmp_path_factory.mktemp("stack")
    assert stack.train(tiny(), root) == exit_codes.DONE
    return root


@pytest.fixture
def copy(trained_stack, tmp_path):
    return shutil.copytree(trained_stack, tmp_path / "copy")


def open_stack(root):
    return PictureStack.open(root, meshes.make(MeshConfig(), jax.devices()))


@pytest.fixture(scope="module")
def unclip(trained_stack):
    return open_stack(trained_stack)


def test_every_stage_is_a_run_of_its_own(trained_stack):
    for stage in ("clip", "prior", "decoder", "upsampler"):
        for name in ("config.json", "manifest.json", "metrics.jsonl"):
            assert (trained_stack / stage / name).exists()
        assert restore.steps(trained_stack / stage / "checkpoints")[-1] == 2


def test_a_stage_records_the_weights_that_it_read(trained_stack):
    _, _, digest = restore.load_params(trained_stack / "clip" / "checkpoints", subtree="players/model/ema")
    for stage in ("prior", "decoder"):
        assert reader.read_upstream(trained_stack / stage)["clip"]["digest"] == digest


def test_pictures_of_a_caption(unclip):
    tokens, notes = unclip.read([PROMPT])
    drawn = unclip.draw_rows(np.repeat(tokens, 8, 0), np.arange(8), seed=0)
    assert [x.shape for x in drawn.pictures] == [(8, 16, 16, 3), (8, 32, 32, 3)]
    assert all(np.isfinite(x).all() and np.abs(x).max() <= 1 for x in drawn.pictures)
    assert not notes


def test_a_picture_depends_on_its_number_and_seed_and_not_on_the_others(unclip):
    tokens = np.repeat(unclip.read([PROMPT])[0], 8, 0)
    first, shifted, other = (
        unclip.draw_rows(tokens, index_B, seed).pictures
        for index_B, seed in ((np.arange(8), 0), (np.arange(4, 12), 0), (np.arange(8), 1))
    )
    for here, there, otherwise in zip(first, shifted, other, strict=True):
        size = np.abs(here).max()
        np.testing.assert_allclose(there[:4], here[4:], atol=1e-5 * size)
        assert np.abs(otherwise - here).max() > 0.1 * size and np.abs(here[0] - here[1]).max() > 0.1 * size


def test_the_prior_can_be_left_out(unclip):
    tokens = np.repeat(unclip.read([PROMPT])[0], 8, 0)
    with_prior = unclip.draw_rows(tokens, np.arange(8), seed=0)
    without = unclip.draw_rows(tokens, np.arange(8), seed=0, from_text_embedding=True)
    np.testing.assert_allclose(np.linalg.norm(without.embedding_BE, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(with_prior.embedding_BE, axis=-1), 1, rtol=1e-5)
    assert np.ptp(without.embedding_BE, axis=0).max() < 1e-6 < np.ptp(with_prior.embedding_BE, axis=0).max()


def test_prompts_that_do_not_fit(unclip):
    with pytest.raises(ValueError, match="the prompt is empty"):
        unclip.read(["  "])
    _, notes = unclip.read([PROMPT + " and then much more of the same that no context holds, in teal"])
    assert "cut" in notes[0] and "teal" in notes[0]
    _, notes = unclip.read(["a handwritten seven ☃"])
    assert "vocabulary" in notes[0]


def test_samplers_are_set_by_stage_and_key(unclip):
    changed = unclip.with_samplers([("decoder.guidance_scale", "3"), ("prior.steps", "3")])
    assert (changed.samplers["decoder"].guidance_scale, changed.samplers["prior"].steps) == (3.0, 3)
    with pytest.raises(ValueError, match="did you mean 'decoder'"):
        unclip.with_samplers([("decodr.steps", "3")])
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        unclip.with_samplers([("decoder.step", "3")])


def test_the_sample_program_writes_pictures_with_their_record(trained_stack, tmp_path, capsys):
    args = small.SAMPLE | {"workdir": trained_stack, "prompt": [PROMPT], "num": 3, "batch": 8, "out": tmp_path}
    assert sample.main(SimpleNamespace(**args), []) == 0
    pictures = sorted(p for p in tmp_path.glob("*.png") if "grid" not in p.name)
    assert len(pictures) == 3 and "wrote 3 pictures" in capsys.readouterr().out
    record = json.loads(Image.open(pictures[1]).text["gen"])
    assert (record["prompt"], record["index"], record["seed"]) == (PROMPT, 1, 0)
    assert set(record["weights"]) == {"clip", "prior", "decoder", "upsampler"}
    for path in (pictures[1], next(tmp_path.glob("*grid.png"))):
        assert picture.replay(path, trained_stack) == exit_codes.DONE


def test_pictures_of_a_list_are_those_of_their_prompts_alone_and_can_be_replayed(trained_stack, tmp_path, capsys):
    prompts = [PROMPT, PROMPT.replace("seven", "two"), PROMPT.replace("seven", "three")]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts))
    args = small.SAMPLE | {"workdir": trained_stack, "out": tmp_path, "batch": 8}
    listed = args | {"prompts": tmp_path / "prompts.txt", "num": 1, "seeds": ["0", "5"], "vary": ["decoder.steps=2,3"]}
    assert sample.main(SimpleNamespace(**listed), []) == 0
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert len(lines) == 12 and {line["row"] for line in lines} == {0, 1, 2}
    last = next(line for line in lines if line["row"] == 2 and line["seed"] == 5)
    assert picture.replay(tmp_path / last["file"], trained_stack) == exit_codes.DONE
    steps = [("decoder.steps", str(last["samplers"]["decoder"]["steps"]))]
    single = args | {"prompt": [last["prompt"]], "num": 1, "seed": 5, "out": tmp_path / "alone"}
    assert sample.main(SimpleNamespace(**single), steps) == 0
    alone, _ = png.read(next(path for path in (tmp_path / "alone").glob("*.png") if "grid" not in path.name))
    among, _ = png.read(tmp_path / last["file"])
    assert np.abs(alone.astype(int) - among).max() <= 1
    assert capsys.readouterr().out.count("bit for bit") == 1


def test_what_a_stage_has_shown_is_drawn_again(trained_stack, capsys):
    for stage in ("prior", "decoder", "upsampler"):
        for path in (trained_stack / stage / "samples").glob("*.png"):
            assert picture.replay(path, trained_stack / stage) == exit_codes.DONE
    assert "bit for bit" in capsys.readouterr().out


def test_again_it_trains_nothing(copy):
    before = {path: path.read_bytes() for path in copy.rglob("metrics.jsonl")}
    assert stack.train(tiny(), copy) == exit_codes.DONE
    assert {path: path.read_bytes() for path in copy.rglob("metrics.jsonl")} == before


def test_a_stage_whose_upstream_changed_is_trained_anew(copy, capsys):
    assert reader.stale_upstream(copy / "prior") is None
    record = json.loads((copy / "prior" / "upstream.json").read_text())
    record["clip"]["digest"] = "0" * 16
    (copy / "prior" / "upstream.json").write_text(json.dumps(record))
    assert reader.stale_upstream(copy / "prior") == "clip"
    # alone it refuses: those are not the weights that the run began with
    stages, _ = stack.stage_configs(tiny(), copy)
    with pytest.raises(ValueError, match="begun on other weights of clip"):
        train.train(stages["prior"], copy / "prior")
    assert stack.train(tiny(), copy) == exit_codes.DONE
    assert "stage prior is stale" in capsys.readouterr().out
    assert (copy / "prior.stale-00000000").is_dir() and reader.stale_upstream(copy / "prior") is None


def test_a_stage_from_elsewhere(trained_stack, tmp_path):
    elsewhere = {"runs.clip": str(trained_stack / "clip"), "runs.decoder": str(trained_stack / "decoder")}
    stages, places = stack.stage_configs(tiny(**elsewhere), tmp_path)
    assert list(stages) == ["prior", "upsampler"] and list(places) == ["clip", "prior", "decoder", "upsampler"]
    assert stages["prior"]["upstream"]["clip"] == str(trained_stack / "clip")
    with pytest.raises(ValueError, match="did you mean 'clip'"):
        stack.stage_configs(tiny(**{"runs.clp": "x"}), tmp_path)


def test_sampling_before_a_stage_is_trained(copy):
    shutil.rmtree(copy / "prior" / "checkpoints")
    with pytest.raises(ValueError, match="prior has no checkpoint yet; train it first"):
        open_stack(copy)
    with pytest.raises(ValueError, match="is not the directory of a stack"):
        open_stack(copy / "prior")


def test_sampling_a_stack_whose_stages_do_not_belong_together(copy):
    record = json.loads((copy / "prior" / "upstream.json").read_text())
    record["clip"]["digest"] = "0" * 16
    (copy / "prior" / "upstream.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="prior was trained on other weights of clip than now; train the stack again"):
        open_stack(copy)


def test_sampling_from_damaged_weights(copy, capsys):
    largest = max(
        (p for p in (copy / "decoder" / "checkpoints" / "2").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(NoIntactCheckpoint, match="decoder/checkpoints is intact"):
        open_stack(copy)
    assert largest.name in capsys.readouterr().out


def test_evaluation_measures_all_held_out_data(trained_stack):
    results = evaluation.evaluate(trained_stack / "upsampler", pictures=8)
    assert results["step"] == 2 and set(results["metrics"]) == {"loss", "psnr/enlarged", "psnr/bicubic"}
    # bicubic enlargement of a smooth picture is near it; an untrained network is not
    assert results["metrics"]["psnr/bicubic"] > 20 > results["metrics"]["psnr/enlarged"]
    assert set(evaluation.evaluate(trained_stack / "clip", pictures=0)["metrics"]) == {
        "loss",
        "accuracy",
        "logit_scale",
    }
