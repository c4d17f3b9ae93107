"""`export`: arrays of a checkpoint as one safetensors file, which every framework reads."""

import json

from gen import files
from gen.checkpoint import verify
from gen.checkpoint.checksums import DamagedCheckpoint, StepManifest
from gen.interop import safetensors
from gen.messages import harmless
from gen.runs import output
from launch.checkpoint import place


def export(where: str, to: str | None, part: str | None, overwrite: bool = False) -> int:
    """Writes arrays into a new file, or with `overwrite` in place of one; returns an exit status."""
    if to is None:
        raise ValueError("--to is missing: the file to write, as weights.safetensors")
    target = output.file("--to", to, overwrite)
    step = place.one(where)
    try:
        contents = verify.intact(step)
        prefix = prefix_of(contents, part)
        arrays = {name.removeprefix(prefix): array for name, array in verify.arrays(step, contents, prefix)}
    except DamagedCheckpoint as error:
        raise ValueError(f"{step} is damaged: {error}; export another step") from error
    said = {"step": step.name, "part": prefix.rstrip("/"), "digest": contents.digest(prefix)}
    with files.replacing(target) as partial:
        safetensors.save(partial, arrays, {"gen": json.dumps(said)})
    what = said["part"] or "the whole state"
    print(harmless(f"wrote {len(arrays)} arrays of {step}, {what}, to {to}"))
    return 0


def prefix_of(contents: StepManifest, part: str | None) -> str:
    """The path of a part, by default that of the only player's weights: averaged ones where there are."""
    paths = contents.arrays.keys()
    if part is None:
        players = sorted({path.split("/")[1] for path in paths if path.startswith("players/")})
        if len(players) != 1:
            raise ValueError(f"say --part=players/NAME/params, as there are several players: {', '.join(players)}")
        ema = f"players/{players[0]}/ema/"
        return ema if any(path.startswith(ema) for path in paths) else f"players/{players[0]}/params/"
    prefix = part.strip("/") + "/" if part.strip("/") else ""
    if not any(path.startswith(prefix) for path in paths):
        tops = sorted({"/".join(path.split("/")[:3]) for path in paths if path.count("/") > 2})
        raise ValueError(f"--part={part}: the checkpoint has no such part; it has {', '.join(tops[:8])}")
    return prefix
