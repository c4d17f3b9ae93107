"""The report as files: report.json, and index.html with the pictures, the figures and the curves of each stage."""

import base64
import io
import json
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from PIL import Image

from gen import files
from gen.pipelines.pictures import places
from gen.training import metrics
from gen.training.run_dir import RunDir
from launch.demo.report import Findings, summary

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 (after the backend is chosen)

TEMPLATE = Path(__file__).with_name("page.html")
FILES = ("report.json", "index.html", "samples.png", "seconds.json")  # of the directory of the stack
SHOWN = 128  # pixels on the side of a picture on the page


def write(workdir: Path, findings: Findings) -> None:
    files.write_json(workdir / "report.json", findings.numbers)
    cards = [
        {"caption": caption, "drawn": _png(drawn), "real": _png(real)}
        for caption, drawn, real in zip(findings.captions, findings.drawn, findings.real, strict=True)
    ]
    curves = {name: _curve(RunDir(place)) for name, place in places(workdir).items()}
    html = jinja2.Template(TEMPLATE.read_text(), autoescape=True).render(
        cards=cards,
        curves=curves,
        summary=summary(findings.numbers),
        numbers=json.dumps(findings.numbers, indent=2),
        shown=SHOWN,
    )
    files.write_text(workdir / "index.html", html)
    with files.replacing(workdir / "samples.png") as partial:
        _sheet(findings).save(partial, "PNG")


def _sheet(findings: Findings) -> Image.Image:
    """Drawn pictures above real scans of the same combinations, twelve a row."""
    gap, columns = 4, 12
    height, width = findings.drawn.shape[1:3]
    blocks = -(-len(findings.drawn) // columns)
    canvas = np.full((blocks * (2 * height + 3 * gap), columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, pair in enumerate(zip(findings.drawn, findings.real, strict=True)):
        top, left = i // columns * (2 * height + 3 * gap), gap + i % columns * (width + gap)
        for row, picture in enumerate(pair):
            y = top + gap + row * (height + gap)
            canvas[y : y + height, left : left + width] = picture
    image = Image.fromarray(canvas)
    return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)


def _png(image_YXC: np.ndarray) -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(image_YXC).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _curve(run: RunDir) -> str:
    """Loss by step, in training and held out, as SVG."""
    rows = metrics.read(run.metrics_jsonl)
    figure, axes = pyplot.subplots(figsize=(4, 2.6), layout="constrained")
    for key, label, style in (("loss", "training", {"linewidth": 0.8}), ("eval/loss", "held out", {"marker": "o"})):
        points = [(row["step"], row[key]) for row in rows if key in row]
        axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    pyplot.close(figure)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
