"""Makes the checkpoint that every later version must read (tests/checkpoint/frozen): once, by two processes.

python -m launch.local --processes=2 --devices=2 -- python tests/checkpoint/freeze.py --workdir=tests/checkpoint/frozen
"""

import pathlib

import numpy as np
from absl import app, flags

from launch import cli, cluster

STEP = 7
SKIPS = [{"at": 2, "batches": 3, "spike": 4}]


def values() -> dict[str, np.ndarray]:
    """Path and value of every array, from nothing but this formula."""
    import jax.numpy as jnp

    def array(seed, shape, dtype):
        numbers = np.random.Generator(np.random.Philox(seed)).integers(-50, 50, shape)
        return np.asarray(numbers / 8 if jnp.issubdtype(dtype, jnp.floating) else numbers, dtype)

    return {
        "step": np.asarray(STEP, np.int32),
        "players/model/params/blocks/kernel": array(1, (2, 16, 8), np.float32),
        "players/model/params/embedding": array(2, (12, 8), jnp.bfloat16),
        "players/model/opt/0/mu/blocks/kernel": array(3, (2, 16, 8), np.float32),
        "players/model/updates": np.asarray(STEP, np.int32),
        "extra/statistics/count": array(4, (), np.float32),
        "extra/nothing": np.zeros((0, 3), np.float32),
        "norms/model": array(5, (3,), np.float32),
    }


def main(_):
    cli.quiet()
    cluster.join(flags.FLAGS, {})
    import jax
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    from gen import hosts, tree
    from gen import mesh as meshes
    from gen.checkpoint import step_dir
    from gen.checkpoint.checkpointer import Checkpointer

    mesh = meshes.make(meshes.MeshConfig(data=2, fsdp=2), jax.devices())

    def place(x):
        cut = P(None, "fsdp") if x.ndim == 3 else P("data") if x.ndim == 2 and len(x) else P()
        return meshes.put(x, NamedSharding(mesh, cut))

    state = tree.nested({path: place(x) for path, x in values().items()})
    folder = pathlib.Path(flags.FLAGS.workdir) / "checkpoints"
    checkpoints = Checkpointer(folder, every=1, keep=1, keep_every=None)
    checkpoints.save(STEP, state, extra_json={"skips": SKIPS, "launch": 1})
    checkpoints.close()
    if jax.process_index() == 0:  # where Orbax has put the path of this machine
        (folder / str(STEP) / "commit_success.txt").write_text("Checkpoint commit was successful")
    hosts.all_gather("rewritten", None)
    step_dir.record_files(folder / str(STEP))
    hosts.shutdown()


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "")
    cluster.define()
    app.run(main)
