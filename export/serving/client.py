"""Translates images with a pix2pix model behind TensorFlow Serving and saves the generated images as PNG files.

python client.py --url=http://localhost:8501/v1/models/pix2pix photo.jpg scan.png --output=translated

Requires Python 3.10 or newer and no other package. --url may name a version or a label: .../pix2pix/versions/2 or
.../pix2pix/labels/stable. Exit codes: 0 success, 1 some images failed, 2 wrong usage or no valid answer.
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


class ClientError(Exception):
    """Ends the program with a one-line message and exit code 2."""


def main(arguments=None):
    """Runs the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="PNG, JPEG, BMP, GIF or WebP files")
    parser.add_argument("--url", required=True, help="the model's URL: http://HOST:8501/v1/models/NAME")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder that NAME.png is written to")
    parser.add_argument("--batch_size", type=int, default=8, help="images per request [8]")
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait for an answer [300]")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # so that any file name can be printed
    try:
        failed = translate(options)
    except ClientError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; the images saved so far are complete", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    if failed:
        print(f"{failed} of {len(options.inputs)} images failed", file=sys.stderr)
    return 1 if failed else 0


def translate(options):
    """Translates all inputs, one request per batch. Returns the number of images that failed."""
    if not options.url.startswith(("http://", "https://")):
        raise ClientError(f"--url={options.url}: must be a URL like http://localhost:8501/v1/models/pix2pix")
    if options.batch_size < 1:
        raise ClientError(f"--batch_size={options.batch_size}: must be at least 1")
    if not 0 < options.timeout <= 86400:
        raise ClientError(f"--timeout={options.timeout:g}: must be above 0 and at most 86400 seconds")
    outputs = output_paths(options.inputs, options.output)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"--output={options.output}: {error.strerror}") from None
    failed = 0
    for start in range(0, len(options.inputs), options.batch_size):
        files = {}  # path -> content
        for path in options.inputs[start : start + options.batch_size]:
            try:
                files[path] = path.read_bytes()
            except OSError as error:
                failed += report_failure(path, error.strerror)
        pngs = predict(options.url, [*files.values()], options.timeout) if files else []
        for path, png in zip(files, pngs, strict=True):
            if png is None:
                failed += report_failure(path, "the model cannot read this image")
            else:
                save(outputs[path], png)
                print(f"{path} -> {outputs[path]}")
    return failed


def report_failure(path, reason):
    print(f"failed: {path}: {reason}", file=sys.stderr)
    return 1


def output_paths(inputs, folder):
    """Returns the PNG path of each input. Raises ClientError if two are the same, or one is an input."""
    inputs_by_output = {}
    for path in inputs:
        output = folder / f"{path.stem}.png"
        if not os.path.isfile(path):
            raise ClientError(
                f"{path}: is a folder; pass image files" if os.path.isdir(path) else f"{path}: no such file"
            )
        if output in inputs_by_output:
            raise ClientError(f"{inputs_by_output[output]} and {path}: both would be saved as {output}; pass only one")
        if os.path.exists(output) and any(os.path.exists(other) and output.samefile(other) for other in inputs):
            raise ClientError(f"{output}: would overwrite an input; choose another --output")
        inputs_by_output[output] = path
    return {path: output for output, path in inputs_by_output.items()}


def predict(url, image_files, timeout):
    """Sends one request.

    Args:
      url: the model's URL.
      image_files: bytes of PNG, JPEG, BMP, GIF or WebP files.
      timeout: seconds.

    Returns:
      The bytes of a PNG file for each image, or None where the model cannot read the image.

    Raises:
      ClientError: the server cannot be reached, refuses the request or returns something else.
    """
    address = url.rstrip("/") + ":predict"
    body = json.dumps({"instances": [{"b64": base64.b64encode(content).decode()} for content in image_files]})
    try:
        request = urllib.request.Request(address, body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise ClientError(f"{address}: HTTP status {error.code}: {error_message(error)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ClientError(f"{address}: cannot be reached: {reason or type(error).__name__}") from None
    try:
        rows = json.loads(answer)["predictions"]
        pngs = [base64.b64decode(row["image_bytes"]["b64"]) if row["ok"] else None for row in rows]
    except (ValueError, KeyError, TypeError):
        raise ClientError(
            f"{address}: the answer lacks image_bytes and ok; is this an exported pix2pix model?"
        ) from None
    if len(pngs) != len(image_files):
        raise ClientError(f"{address}: {len(pngs)} images returned for {len(image_files)} sent")
    return pngs


def error_message(error):
    """Returns the server's message, {"error": "..."} in the body of an HTTPError, or else the name of its status."""
    try:
        return json.loads(error.read())["error"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return error.reason


def save(path, png):
    """Writes a file atomically: it is either complete or missing. Raises ClientError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            temporary.write_bytes(png)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(f"{path}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
