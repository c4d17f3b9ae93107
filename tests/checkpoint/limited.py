"""Saves in two processes, of which one may write no large files for a while: run by launch.local.

python -m launch.local --processes=2 --devices=1 -- python tests/checkpoint/limited.py --workdir=DIR
"""

import pathlib
import resource
import signal

from absl import app, flags

from launch import cli, cluster


def main(_):
    args = flags.FLAGS
    cli.quiet()

    import jax
    import numpy as np
    from jax.sharding import PartitionSpec as P

    from gen import hosts
    from gen import mesh as meshes
    from gen.checkpoint import restore
    from gen.checkpoint.checkpointer import Checkpointer, SaveFailed

    cluster.join(args, {})
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    values = np.random.default_rng(0).normal(size=(2, 300_000)).astype(np.float32)
    placed = jax.sharding.NamedSharding(mesh, P("data"))
    state = {"w": jax.make_array_from_callback(values.shape, placed, lambda index: values[index])}
    tell = lambda sentence: print(sentence, flush=True)
    with Checkpointer(
        pathlib.Path(args.workdir) / "checkpoints", every=1, keep=9, keep_every=None, timeout=4.0, warn=tell
    ) as checkpoints:
        checkpoints.save(1, state)
        checkpoints.wait()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        free = resource.getrlimit(resource.RLIMIT_FSIZE)
        if jax.process_index() == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, free[1]))
        checkpoints.save(2, state)
        try:
            checkpoints.wait()
        except SaveFailed as error:
            tell(f"failed: {error}")
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
        checkpoints.save(3, state)
        checkpoints.wait()
    tell(f"steps {restore.steps(checkpoints.directory)}")
    hosts.shutdown()


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "")
    cluster.define()
    app.run(main)
