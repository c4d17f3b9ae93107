"""Trains small tasks in this process and those that it meets, and leaves what they saw: run by launch.local.

python -m launch.local --processes=2 --devices=4 -- python tests/layout.py --workdir=DIR --families=lm,clip
"""

import json
import pathlib

from absl import app, flags

from launch import cli, cluster


def main(_):
    args = flags.FLAGS
    cli.quiet()

    import jax
    import numpy as np
    import small

    from gen import hosts, rng
    from gen import mesh as meshes
    from gen.checkpoint import digest
    from gen.mesh import MeshConfig
    from gen.training.global_batch import make_global_batch

    cluster.join(args, {})
    out = pathlib.Path(args.workdir)
    shape = json.loads(args.mesh)
    mesh = meshes.make(MeshConfig(**shape), jax.devices())
    for family in args.families.split(","):
        task = small.FAMILIES[family]()
        data = small.Noise(task, 8)
        how = {"optim": {"lr": args.lr, "ema": args.ema, "schedule": "constant"}, "checkpoint": {"every": 100}}
        how |= {"evals": {"every": 1000, "batches": 0}}
        for steps in (1, args.steps):  # what is saved after one step holds the gradient: Adam's first moment
            cfg = small.config(train={"steps": steps, "batch_size": 8}, **how)
            folder = out / family / str(steps)
            folder.mkdir(parents=True, exist_ok=True)
            assert small.train(task, cfg, folder, data, **shape) == 0
        seen = [digest.digests(make_global_batch(data.batch, position, 8, mesh)) for position in range(3)]
        draw = lambda key: rng.normal(rng.per_example(key, np.arange(8, dtype=np.int32)), (5, 3))
        noise = jax.jit(draw, out_shardings=meshes.batch_sharding(mesh))(rng.fold(jax.random.key(0), "noise", 7))
        seen.append(digest.digests({"noise": noise}))
        if jax.process_index() == 0:
            (out / family / "seen.json").write_text(json.dumps(seen))
    hosts.shutdown()


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "")
    flags.DEFINE_string("families", "lm", "")
    flags.DEFINE_integer("steps", 50, "")
    flags.DEFINE_float("lr", 1e-3, "")
    flags.DEFINE_float("ema", None, "")
    flags.DEFINE_string("mesh", '{"data": -1}', "")
    cluster.define()
    app.run(main)
