"""TensorFlow Serving's JSON rules, written after its json_tensor.cc: tensors of float32, int64, uint8, bool and string.

Error texts are the server's without the JSON that they quote.
"""

import base64
import binascii

import numpy as np
import tensorflow as tf

FLOAT_MAX = float(np.finfo(np.float32).max)


def invalid(message):
    return tf.errors.InvalidArgumentError(None, None, message)


def read_inputs(request: dict, infos) -> dict[str, np.ndarray]:
    """Rows ("instances") or columns ("inputs") -> arrays by input name. infos: TensorInfo by input name."""
    if "instances" in request and "inputs" in request:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys")
    if "instances" in request:
        return _read_rows(request["instances"], infos)
    if "inputs" in request:
        return _read_columns(request["inputs"], infos)
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(rows, infos):
    if not isinstance(rows, list):
        raise invalid("Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise invalid("instances is a plain list, but expecting list of objects as multiple input tensors required")
    named = _is_named(rows[0])
    tensors = {}  # input name -> one array a row
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {wanted} but got {got} at item {number} of input list")
        row = row if named else dict.fromkeys(infos, row)
        for name, value in row.items():
            if name not in infos:
                raise invalid(f"JSON object: does not have named input: {name}")
            arrays = tensors.setdefault(name, [])
            arrays.append(_read_tensor(value, infos[name]))
            first, last = arrays[0], arrays[-1]
            if first.size != last.size:
                raise invalid(f"Expecting tensor size: {first.size} but got: {last.size}")
            if first.shape != last.shape:
                expected, got = (str([*array.shape]).replace(" ", "") for array in (first, last))
                raise invalid(f"Expecting shape {expected} but got: {got}")
        if row.keys() != {*infos}:
            raise invalid(f"Failed to process element: {number} of 'instances' list. keys must be equal to: {[*infos]}")
    return {name: np.stack(arrays) for name, arrays in tensors.items()}


def _read_columns(columns, infos):
    if not _is_named(columns):
        if len(infos) > 1:
            raise invalid("inputs is a plain value/list, but expecting an object as multiple input tensors required")
        columns = dict.fromkeys(infos, columns)
    for name in infos:
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _read_tensor(columns[name], info) for name, info in infos.items()}  # ignores other names


def _is_named(value):
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value):
    return isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str)


def _read_tensor(value, info):
    """A scalar or nested lists -> an array."""
    dtype = tf.as_dtype(info.dtype)
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    scalars = (_read_scalar(scalar, dtype) for scalar in _flatten(value, shape, 0))
    wide = {tf.string: object, tf.uint8: np.int64}.get(dtype, dtype.as_numpy_dtype)
    return np.fromiter(scalars, wide).astype(dtype.as_numpy_dtype).reshape(shape)  # uint8 wraps around


def _flatten(value, shape, level):
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}")
        yield value
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        found = f"Encountered list at unexpected size: {len(value)} at level: {level}"
        raise invalid(f"{found} expected size: {shape[level]}")
    for element in value:
        yield from _flatten(element, shape, level + 1)


def _read_scalar(value, dtype):
    kind = type(value)
    if dtype is tf.string and kind is dict:
        return _decode_base64(value)
    accepted = {
        tf.string: kind is str,
        tf.bool: kind is bool,
        tf.float32: kind in (int, float),
        tf.int64: kind is int and -(2**63) <= value < 2**63,
        tf.uint8: kind is int and -(2**31) <= value < 2**31,  # the server reads short integers as int32
    }
    if not accepted[dtype]:
        kinds = {type(None): "Null", dict: "Object", str: "String", bool: str(value)}
        expected = "float" if dtype is tf.float32 else dtype.name
        raise invalid(f"Type: {kinds.get(kind, 'Number')} is not of expected type: {expected}")
    if dtype is tf.float32 and np.isfinite(value) and abs(value) > (2**24 - 1 if kind is int else FLOAT_MAX):
        raise invalid("Cannot convert JSON value to float without loss of precision.")
    return value.encode() if kind is str else value


def _decode_base64(value):
    if not _is_base64(value):
        raise invalid("not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise invalid("Unable to base64 decode") from None


def write_outputs(outputs: dict[str, tuple[tf.DType, np.ndarray]], by_rows: bool) -> dict:
    """Arrays and their dtypes by output name -> the answer, as rows ("predictions") or columns ("outputs")."""
    sizes = {}
    for name, (_, array) in outputs.items() if by_rows else ():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        sizes[name] = len(array)
        expected = next(iter(sizes.values()))
        if len(array) != expected:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {expected}")
    columns = {name: _write_tensor(name, *output) for name, output in outputs.items()}
    if len(columns) == 1:
        [answer] = columns.values()
    elif by_rows:
        answer = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        answer = columns
    return {"predictions" if by_rows else "outputs": answer}


def _write_tensor(name, dtype, array):
    """An array -> nested lists. Strings become base64 if the output's name ends in _bytes, else they stay unchanged."""
    if dtype not in (tf.float32, tf.int64, tf.uint8, tf.bool, tf.string):
        raise invalid(f"Failed to write JSON value for tensor type: {dtype.name}")

    def write(value):
        if isinstance(value, list):
            return [write(element) for element in value]
        if isinstance(value, float):  # 6 digits if these are exact, else 9
            short = float(f"{value:.6g}")
            return short if np.float32(short) == np.float32(value) else float(f"{value:.9g}")
        if isinstance(value, bytes) and name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value

    return write(array.tolist())
