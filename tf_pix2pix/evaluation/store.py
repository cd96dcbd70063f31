"""ImageStore: the folder of an evaluation. Generated images in it are used again after an interruption."""

import hashlib
import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation.error_map import error_colors, error_map
from tf_pix2pix.files import atomic_write
from tf_pix2pix.sides import Side

IMAGES, JOURNAL = "images", "translated.jsonl"
RESULTS = ("metrics.json", "per_image.csv", "report.html")


class ImageStore:
    """Writes images/NAME_input.png, _generated, _target and _error, and finds generated images of an earlier command.

    Images of 16 bits and floats have 8-bit previews; NAME_generated.npy beside them holds the values. The first line of
    translated.jsonl has the settings of the evaluation, each further line an image that is complete.
    """

    def __init__(self, directory: Path, settings: dict[str, Any] | None, target: Side, input_side: Side | None):
        """Opens the folder, and removes the files of an evaluation with other settings; None: of any evaluation.

        Raises:
          InputError: the folder holds images that no evaluation wrote.
        """
        self.directory, self._target, self._input = directory, target, input_side
        self._journal, first_line = directory / JOURNAL, json.dumps(settings) + "\n"
        lines = self._journal.read_text(encoding="utf-8").splitlines(keepends=True) if self._journal.exists() else []
        self._digests: dict[str, str] = {}
        if settings is not None and lines and lines[0] == first_line:
            self._digests = dict(json.loads(line) for line in lines[1:] if line.endswith("\n"))
            first_line = "".join(line for line in lines if line.endswith("\n"))  # a killed process leaves half a line
        else:
            if not lines and (directory / IMAGES).exists():
                raise InputError(f"--output_dir={directory}: has a folder {IMAGES} already; choose another folder")
            for name in RESULTS:
                (directory / name).unlink(missing_ok=True)
            shutil.rmtree(directory / IMAGES, ignore_errors=True)
        with atomic_write(self._journal) as partial:
            partial.write_text(first_line, encoding="utf-8")
        (directory / IMAGES).mkdir(exist_ok=True)

    def find(self, name: str, digest: str) -> np.ndarray | None:
        """The generated image [h, w, c] of the target side that was made from images with this digest, if any."""
        if self._digests.get(name) != digest:
            return None
        try:
            image = images.decode((self.directory / self.paths(name)["exact"]).read_bytes())
        except (OSError, ValueError):  # removed or damaged since: it is made again
            return None
        expected = self._target.channels, self._target.depth
        return image if (image.shape[2], image.dtype.name) == expected else None

    def write(self, name: str, input_image: np.ndarray | None, generated: np.ndarray, target_image: np.ndarray) -> None:
        """Writes the images [h, w, c] of one pair."""
        paths = {part: self.directory / path for part, path in self.paths(name).items()}
        if input_image is not None and self._input is not None:
            _write_preview(paths["input"], input_image, self._input)
        _write_preview(paths["target"], target_image, self._target)
        _write_preview(paths["generated"], generated, self._target)
        if paths["exact"] != paths["generated"]:
            images.write(paths["exact"], generated)
        errors = error_map(*map(self._target.to_float_array, (generated, target_image)))
        _write_png(paths["error"], errors, error_colors())

    def note(self, name: str, digest: str) -> None:
        """Records that the images of a name are complete."""
        with open(self._journal, "a", encoding="utf-8") as file:
            file.write(json.dumps([name, digest]) + "\n")

    def paths(self, name: str) -> dict[str, str]:
        """The paths, below the folder, of the input, generated and target images and the error map; and of the file
        with the exact values of the generated image."""
        paths = {part: f"{IMAGES}/{name}_{part}.png" for part in ("input", "generated", "target", "error")}
        exact = paths["generated"] if self._target.depth == "uint8" else f"{IMAGES}/{name}_generated.npy"
        return paths | {"exact": exact}

    def shown(self, name: str) -> dict[str, str]:
        """The paths of the images to show in a report."""
        return {
            part: path
            for part, path in self.paths(name).items()
            if part != "exact" and (part != "input" or self._input is not None)
        }

    def keep_only(self, names: Sequence[str]) -> None:
        """Removes images of other names, of an earlier command with more images."""
        kept = {Path(path).name for name in names for path in self.paths(name).values()}
        for path in (self.directory / IMAGES).iterdir():
            if path.name not in kept:
                path.unlink()


def digest(*arrays: np.ndarray | None) -> str:
    """A fingerprint of the values and shapes of images."""
    sha = hashlib.sha256()
    for array in arrays:
        if array is not None:
            sha.update(str((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:32]


def _write_preview(path: Path, image: np.ndarray, side: Side) -> None:
    _write_png(path, image if side.depth == "uint8" else images.from_float(side.to_float_array(image)).numpy())


def _write_png(path: Path, image: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Writes uint8 [h, w, c]; with a palette, uint8 [256, 3], its colors at the places in [h, w, 1]."""
    pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if palette is not None:
        pixels.putpalette(palette.tobytes())
    with atomic_write(path) as partial:  # a third faster than level 1 alone, and as small
        pixels.save(partial, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)
