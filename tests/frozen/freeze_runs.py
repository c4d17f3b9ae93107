"""Makes the run directories of version 0.1.0 that every later version must read: once, by the programs of that version.

JAX_PLATFORMS=cpu python tests/frozen/freeze_runs.py tests/frozen/0.1.0

Directories refer to each other by relative paths, so that they are made from within.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LM = {
    "model.context": 96,
    "model.transformer.width": 8,
    "model.transformer.layers": 1,
    "data.source": "instructions",
    "data.options.documents": 100,
    "data.tokenizer": "bpe:300",
    "model.vocab": 300,
}
SMALL = {"train.steps": 2, "evals.every": 2, "evals.batches": 1, "log.every": 1, "checkpoint.keep": 1}
CHAT = {"model.context": 96, "train.batch_size": 4}
FEW = {"data.options.count": 24, "data.options.held_out": 8}
STAGES = ("clip", "prior", "decoder", "upsampler")


def train(config, workdir, **overrides):
    settings = {**SMALL, **overrides}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    return ["launch.train", f"--config={ROOT}/configs/{config}", f"--workdir={workdir}", *flags]


def of(**upstream):
    return {f"upstream.{name}": place for name, place in upstream.items()}


def everywhere(overrides):
    return {f"{stage}.{key}": value for stage in STAGES for key, value in overrides.items()}


COMMANDS = [
    train("lm/gpt2.py:tiny", "lm", **LM, **{"train.batch_size": 8, "evals.samples": 1, "optim.ema": 0.9}),
    train("chat/sft.py:tiny", "sft", **CHAT, **FEW, **of(base="lm"), **{"evals.samples": 1}),
    train("chat/sft.py:tiny", "lora", **CHAT, **FEW, **of(base="lm"), **{"lora.rank": 2, "evals.samples": 1}),
    train("chat/reward.py:tiny", "reward", **CHAT, **of(sft="sft")),
    train("chat/dpo.py:tiny", "dpo", **CHAT, **of(sft="sft")),
    train("chat/ppo.py:tiny", "ppo", **CHAT, **FEW, **of(sft="sft", reward="reward"), **{"task.rollout.new": 8}),
    train("chat/grpo.py:tiny", "grpo", **CHAT, **FEW, **of(sft="sft"), **{"task.rollout.new": 8}),
    train("classify/stdlib.py:tiny", "classify", **of(base="lm"), **{"model.context": 96}),
    train("unclip/digits.py:tiny", "stack"),
    ["launch.convert", "--from=lm", "--to=hub"],
    ["launch.convert", "--from=hub", "--to=converted"],
    ["launch.sample", "--workdir=lm", "--prompt=to be", "--tokens=8", "--num=2", "--out=outputs/lm"],
    ["launch.sample", "--workdir=sft", "--prompt=to be", "--tokens=8", "--out=outputs/sft"],
    ["launch.sample", "--workdir=lora", "--prompt=to be", "--tokens=8", "--out=outputs/lora"],
    ["launch.sample", "--workdir=converted", "--prompt=to be", "--tokens=8", "--out=outputs/converted"],
    ["launch.sample", "--workdir=classify", "--prompt=import os", "--out=outputs/classify"],
    ["launch.sample", "--workdir=stack", "--prompt=a seven", "--num=2", "--out=outputs/stack"],
]


def main(target: Path) -> None:
    target.mkdir(parents=True)
    for command in COMMANDS:
        print(" ".join(command), flush=True)
        path = {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", *command], cwd=target, env=os.environ | path, check=True)
    shutil.rmtree(target / "hub")
    for lock in target.rglob("lock"):
        lock.unlink()
    clean(target)


def clean(target: Path) -> None:
    """Takes out what is of the machine: its name, and where things were."""
    from gen.checkpoint import step_dir

    for note in target.rglob("commit_success.txt"):
        note.write_text("Checkpoint commit was successful")
        step_dir.record_files(note.parent)
    for manifest in target.rglob("manifest.json"):
        content = json.loads(manifest.read_text().replace(f"{ROOT}/", ""))
        for launch in content["launches"]:
            launch |= {"host": "host", "pid": 1}
        manifest.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]))
