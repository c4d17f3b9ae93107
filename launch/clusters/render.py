"""The templates beside this file, filled in.

render("slurm.sbatch", {"name": "lm", "job": ..., "command": "..."})
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent


def render(template: str, values: Mapping[str, Any], own: str | None = None) -> str:
    """`own` is the path of somebody's own template in place of gen's.

    Raises ValueError for one that cannot be read or that asks for what is not there.
    """
    path = HERE / template if own is None else Path(own)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"quote": shlex.quote, "yaml": json.dumps, "needed": needed}
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise ValueError(f"--template={own}: there is no file {path}") from error
    except OSError as error:
        raise OSError(f"--template={own} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"--template={own} is no text in UTF-8") from error
    try:
        return environment.from_string(text).render(values)
    except jinja2.TemplateError as error:
        line = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise ValueError(f"{path}{line}: {error.message}") from error


def needed(value: Any, key: str) -> Any:
    """For a template that cannot do without a setting: {{ job.account | needed("account") }}."""
    if value in (None, "", ()):
        raise jinja2.UndefinedError(f"this template needs --job.{key}")
    return value
