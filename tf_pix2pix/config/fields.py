"""The declaration of a config field: its default, help text, type and choices."""

import ast
import dataclasses
from pathlib import Path
from typing import Any, get_args

from tf_pix2pix.config.presets import TASK_SETTINGS

Size = tuple[int, int]  # (height, width) in pixels
Range = tuple[float, float]  # (low, high) pixel values


def option(
    default: Any,
    text: str,
    *,
    auto: str = "",
    heading: str = "",
    choices: tuple[str, ...] | str | None = None,
    minimum: float | None = None,
    may_change: bool = False,
):
    """Declares a field of TrainConfig.

    Args:
      text: the help text.
      auto: the meaning of the default None.
      heading: title of a section of `train --help` that begins with this field.
      choices: the allowed values; or "module.TABLE", a dict of the package whose keys are allowed.
      minimum: the smallest allowed value.
      may_change: a resumed run may change the value.
    """
    metadata = {
        "help": text,
        "auto": auto,
        "heading": heading,
        "choices": choices,
        "minimum": minimum,
        "may_change": may_change,
    }
    return dataclasses.field(default=default, metadata=metadata)


def task_defaults(name: str) -> str:
    """The defaults of a task setting, in words: "edges 1.5, sketch 4.0"."""
    return ", ".join(f"{task} {value}" for task, value in TASK_SETTINGS[name].items())


def kind(field: dataclasses.Field) -> Any:
    """Returns a field's type without "or None": int, float, bool, str, Size or Range."""
    parts = [part for part in get_args(field.type) if part is not type(None)]
    return parts[0] if type(None) in get_args(field.type) else field.type


def format_value(value: Any) -> str:
    """Formats a field's value as its flag accepts it: a size as HEIGHTxWIDTH, a range as LOW,HIGH."""
    if isinstance(value, tuple):
        return ("," if isinstance(value[0], float) else "x").join(map(str, value))
    return str(value)


def choices(field: dataclasses.Field) -> tuple[str, ...] | None:
    """Returns the allowed values of a field; None allows any."""
    allowed = field.metadata["choices"]
    return table_keys(allowed) if isinstance(allowed, str) else allowed


def table_keys(table: str) -> tuple[str, ...]:
    """Returns the keys of a dict of the package, "module.TABLE", from its source code.

    Importing the module would load TensorFlow, and `--help` would take seconds.
    """
    module, name = table.rsplit(".", 1)
    path = Path(__file__).parents[1] / module.replace(".", "/")
    sources = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    for node in (node for source in sources for node in ast.parse(source.read_text(encoding="utf-8")).body):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if getattr(target, "id", None) == name:
            return tuple(ast.literal_eval(key) for key in node.value.keys if key)
    raise LookupError(f"{path} has no dict {name}")
