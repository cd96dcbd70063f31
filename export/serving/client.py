"""Sends pictures to an exported pix2pix model behind TensorFlow Serving and saves what comes back, as PNGs.

python client.py --url=http://localhost:8501/v1/models/pix2pix photo.jpg scan.png --output=translated

Needs Python 3.10 or newer and nothing else. The url may name a version or a label: .../pix2pix/versions/2 or
.../pix2pix/labels/stable. Exit code: 0 done, 1 some pictures failed, 2 wrong usage or no answer from the model.
"""

import argparse
import base64
import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


class Problem(Exception):
    """What ends the program with one line and exit code 2."""


def main(arguments=None):
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="PNG, JPEG, BMP, GIF or WebP files")
    parser.add_argument("--url", required=True, help="the model's address: http://HOST:8501/v1/models/NAME")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="the folder for NAME.png")
    parser.add_argument("--batch_size", type=int, default=8, help="pictures per request [8]")
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait for an answer [300]")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # any file name can be printed
    try:
        failed = translate(options)
    except Problem as problem:
        print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; what was saved before is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    if failed:
        print(f"{failed} of {len(options.inputs)} pictures failed", file=sys.stderr)
    return 1 if failed else 0


def translate(options):
    """Returns how many of the inputs failed."""
    if not options.url.startswith(("http://", "https://")):
        raise Problem(f"--url={options.url} is no address like http://localhost:8501/v1/models/pix2pix")
    if options.batch_size < 1:
        raise Problem(f"--batch_size={options.batch_size} is less than 1")
    if not 0 < options.timeout <= 86400:
        raise Problem(f"--timeout={options.timeout:g} is not between 0 and 86400 seconds")
    outputs = output_names(options.inputs, options.output)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"--output={options.output}: {error.strerror}") from None
    failed = 0
    for start in range(0, len(options.inputs), options.batch_size):
        read = {}  # input -> its bytes
        for path in options.inputs[start : start + options.batch_size]:
            try:
                read[path] = path.read_bytes()
            except OSError as error:
                failed += report(path, error.strerror)
        pngs = predict(options.url, [*read.values()], options.timeout) if read else []
        for path, png in zip(read, pngs, strict=True):
            if png is None:
                failed += report(path, "the model cannot read this picture")
            else:
                save(outputs[path], png)
                print(f"{path} -> {outputs[path]}")
    return failed


def report(path, reason):
    print(f"failed: {path}: {reason}", file=sys.stderr)
    return 1


def output_names(inputs, folder):
    """Inputs -> the PNGs to write. Raises Problem when two inputs have the same one, or it is an input."""
    taken = {}  # output -> its input
    for path in inputs:
        output = folder / f"{path.stem}.png"
        if not os.path.isfile(path):
            raise Problem(f"{path} is {'a folder, not a picture' if os.path.isdir(path) else 'not there'}")
        if output in taken:
            raise Problem(f"{taken[output]} and {path} would both be saved as {output}; send them one after the other")
        if os.path.exists(output) and any(os.path.exists(other) and output.samefile(other) for other in inputs):
            raise Problem(f"{output} is one of the inputs; choose another --output")
        taken[output] = path
    return {path: output for output, path in taken.items()}


def predict(url, pictures, timeout):
    """Encoded pictures -> PNG bytes, or None for a picture that the model cannot read. Raises Problem."""
    address = url.rstrip("/") + ":predict"
    body = json.dumps({"instances": [{"b64": base64.b64encode(picture).decode()} for picture in pictures]})
    try:
        request = urllib.request.Request(address, body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise Problem(f"{address} answered {error.code}: {error_text(error)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Problem(f"{address} cannot be reached: {reason or type(error).__name__}") from None
    try:
        rows = json.loads(answer)["predictions"]
        translated = [base64.b64decode(row["image_bytes"]["b64"]) if row["ok"] else None for row in rows]
    except (ValueError, KeyError, TypeError):
        raise Problem(f"{address} answered, but not with image_bytes and ok: no pix2pix model") from None
    if len(translated) != len(pictures):
        raise Problem(f"{address} answered with {len(translated)} pictures to {len(pictures)}")
    return translated


def error_text(error):
    """What the server says in the body of a refusal: {"error": "..."}; or only the name of its status."""
    try:
        return json.loads(error.read())["error"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return error.reason


def save(path, png):
    """Writes beside the file and renames, so that a file is whole or not there. Raises Problem."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_bytes(png)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
