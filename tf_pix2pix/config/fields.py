"""What a field of a config takes: its type, its choices, and how its value is written."""

import ast
import dataclasses
from pathlib import Path
from typing import Any, get_args

Size = tuple[int, int]  # (height, width) in pixels
Range = tuple[float, float]  # (low, high), values of pixels


def kind(field: dataclasses.Field) -> Any:
    """A field's type, without the "or None": int, float, bool, str, Size or Range."""
    parts = [part for part in get_args(field.type) if part is not type(None)]
    return parts[0] if type(None) in get_args(field.type) else field.type


def format_value(value: Any) -> str:
    """A field's value as a flag takes it: sizes as HEIGHTxWIDTH, ranges as LOW,HIGH."""
    if isinstance(value, tuple):
        return ("," if isinstance(value[0], float) else "x").join(map(str, value))
    return str(value)


def choices(field: dataclasses.Field) -> tuple[str, ...] | None:
    """The values that a field allows, None: any.

    Where they are the keys of a table they are read from its source: importing it would load TensorFlow, which takes
    seconds that neither `--help` nor a misspelt name should cost.
    """
    where = field.metadata["choices"]
    if not isinstance(where, str):
        return where
    return table_keys(where)


def table_keys(where: str) -> tuple[str, ...]:
    """The keys of a plain dict of the package, "module.TABLE", without importing the module."""
    module, table = where.rsplit(".", 1)
    path = Path(__file__).parents[1] / module.replace(".", "/")
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if getattr(node.targets[0], "id", None) == table:
            return tuple(ast.literal_eval(key) for key in node.value.keys if key)
    raise LookupError(f"{source} has no dict {table}")
