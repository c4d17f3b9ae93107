"""Many runs of one config that differ in some keys: what a config's `sweep()` is put together from.

from gen.sweep import over, product

def sweep():
    return product(over("optim.lr", 1e-4, 3e-4), over("seed", 0, 1, 2))
"""

from gen.sweep.space import chain, choice, draws, log_uniform, over, product, uniform, zipped

__all__ = ["chain", "choice", "draws", "log_uniform", "over", "product", "uniform", "zipped"]
