"""Pairs from a folder: side-by-side files, or two sub-folders of images paired by file stem; or plain photos.

The files are directly in the folder, or in its sub-folders train, val and test.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import INPUT, MASK, TARGET, Pairs, decode_image, decode_pair
from tf_pix2pix.errors import InputError, format_list

SPLITS = ("train", "val", "test")
VAL_SHARE = 0.1  # of the training pairs, for validation if the sub-folder val is missing

Files = dict[str, tuple[Path, ...]]  # file stem -> the side-by-side file or photo, or the files of A and of B


def load(
    folder: str,
    *,
    input_dir: str | None = None,
    target_dir: str | None = None,
    mask_dir: str | None = None,
    photos: bool = False,
) -> dict[str, Pairs]:
    """The splits "train", "val" and "test" of a folder, as pairs of (A, B); other files are ignored.

    If val is missing, a tenth of the training pairs becomes the validation split, chosen by a hash of the file name and
    so always the same. If test is missing, val is used as test. Both are printed.

    Args:
      input_dir, target_dir: the sub-folders with A and B; required unless the folder has exactly two.
      mask_dir: the sub-folder with the pixels' weights: a gray image of the same name and size for each training pair.
      photos: the files are plain photos.

    Raises:
      InputError: the folder or its images are missing, files have no partner, or the pairing is ambiguous.
    """
    found = find(folder, input_dir, target_dir, photos, mask_dir=mask_dir)
    files = with_val(found, folder, "photos" if photos else "pairs")
    if "test" not in files:
        files["test"] = files["val"]
        print(f"{folder}: no test folder; val is used as test")
    splits = {split: pairs_of(list(files[split].values()), photos) for split in SPLITS}
    if mask_dir:
        masks = find_masks(Path(folder, "" if "" in found else "train", mask_dir), files["train"])
        splits["train"] = _with_masks(splits["train"], [masks[stem] for stem in files["train"]])
    return splits


def refuse(message: str, paths: Sequence[Path]) -> None:
    """Raises InputError: the default of `find` for unpaired files."""
    raise InputError(message)


def find(
    folder: str | Path,
    input_dir: str | None = None,
    target_dir: str | None = None,
    photos: bool = False,
    unpaired: Callable[[str, Sequence[Path]], None] = refuse,
    mask_dir: str | None = None,
) -> dict[str, Files]:
    """The files of each split in the folder; all under "" if it is not split. Raises InputError as `load`.

    Args:
      unpaired: called with (message, paths) for files without a partner; if it returns, `find` leaves them out.
      mask_dir: a sub-folder that is not a side.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: not a folder; pass a folder of images")
    given = [split for split in SPLITS if (root / split).is_dir()]
    if given and "train" not in given:
        raise InputError(f"{root}: has a sub-folder {given[0]} but not train; put the training pairs into {root}/train")
    if photos:
        return {split: _find_photos(root / split, unpaired) for split in given or [""]}
    return {split: _find_pairs(root / split, input_dir, target_dir, unpaired, mask_dir) for split in given or [""]}


def with_val(files: dict[str, Files], folder: str | Path, what: str = "pairs") -> dict[str, Files]:
    """The files that `find` returned, as "train" and "val"; a missing val is split off train, which is printed."""
    files = dict(files)
    if "" in files:
        files["train"] = files.pop("")
    if "val" not in files:
        files["train"], files["val"] = _split_off_val(files["train"], Path(folder))
        counts = f"{len(files['val'])} of {len(files['val']) + len(files['train'])} {what}"
        print(f"{folder}: no val folder; {counts} are used for validation, chosen by file name")
    return files


def _find_pairs(folder, input_dir, target_dir, unpaired, mask_dir) -> Files:
    """The pairs of one split."""
    if input_dir is None and (files := _image_files(folder)):
        return {stem: (path,) for stem, path in _by_stem(files, unpaired).items()}
    sub_folders = [name for name in _image_folders(folder) if name != mask_dir]
    listed = f"the sub-folders with images are {', '.join(sub_folders)}" if sub_folders else "no sub-folder has images"
    if input_dir is not None:
        sides = [input_dir, target_dir]
        if missing := [side for side in sides if side not in sub_folders]:
            raise InputError(f"{folder}: the sub-folder {missing[0]} is missing or has no images; {listed}")
    elif len(sub_folders) == 2:
        sides = sub_folders
        print(f"{folder}: A is {sides[0]}, B is {sides[1]}, paired by file name")
    elif len(sub_folders) > 2:
        raise InputError(f"{folder}: {listed}; name the two sides with --input_dir and --target_dir")
    elif data_sets := [path for path in sorted(folder.iterdir()) if _looks_like_pairs(path)]:
        raise InputError(
            f"{folder}: contains neither side-by-side images nor two sub-folders with images; choose a data set in it: "
            f"{format_list(data_sets)}"
        )
    else:
        raise InputError(f"{folder}: no images ({', '.join(images.EXTENSIONS)}) here or in its sub-folders")
    return match(folder / sides[0], folder / sides[1], unpaired)


def _looks_like_pairs(folder: Path) -> bool:
    """Whether a folder has side-by-side images, two sub-folders with images, or a train folder."""
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    inside = list(folder.iterdir())
    with_images = [path for path in inside if path.is_dir() and any(map(is_image, path.iterdir()))]
    return any(map(is_image, inside)) or len(with_images) == 2 or (folder / "train").is_dir()


def match(folder_a: Path, folder_b: Path, unpaired: Callable = refuse) -> Files:
    """Pairs the images of two folders by file stem; `unpaired` as for `find`."""
    a, b = (_by_stem(_image_files(folder), unpaired) for folder in (folder_a, folder_b))
    if alone := sorted([a[stem] for stem in a.keys() - b.keys()] + [b[stem] for stem in b.keys() - a.keys()]):
        count = "1 image has" if len(alone) == 1 else f"{len(alone)} images have"
        unpaired(
            f"{count} no partner of the same name in the other folder: {format_list(alone)}; "
            "add the partners or remove these",
            alone,
        )
    return {stem: (a[stem], b[stem]) for stem in a if stem in b}


def find_masks(folder: Path, files: Files, unpaired: Callable = refuse) -> dict[str, Path]:
    """The masks in a folder, by file stem, one for each of these pairs; `unpaired` as for `find`."""
    if not folder.is_dir():
        raise InputError(f"--mask_dir: {folder} is not a folder; pass the name of a sub-folder beside the two sides")
    masks = _by_stem(_image_files(folder), unpaired)
    if missing := [stem for stem in files if stem not in masks]:
        unpaired(
            f"{folder}: {len(missing)} of {len(files)} training pairs have no mask: {format_list(missing)}; add them "
            "(an all-white mask weights all pixels equally)",
            [files[stem][0] for stem in missing],
        )
    return masks


def _find_photos(folder, unpaired) -> Files:
    """The photos of one split."""
    if files := _image_files(folder):
        return {stem: (path,) for stem, path in _by_stem(files, unpaired).items()}
    sub_folders = _image_folders(folder)
    found = f"only its sub-folders {', '.join(sub_folders)} have" if sub_folders else "nor in its sub-folders"
    problem = f"{folder}: no images ({', '.join(images.EXTENSIONS)}) directly in it, {found}"
    raise InputError(f"{problem}; a task requires a folder of plain photos")


def _image_files(folder: Path) -> list[Path]:
    """The images directly in a folder, sorted by name."""
    return sorted(filter(is_image, folder.iterdir()))


def _image_folders(folder: Path) -> list[str]:
    """The names of the sub-folders that have images directly in them."""
    inside = (path for path in folder.iterdir() if path.is_dir())
    return sorted(path.name for path in inside if any(map(is_image, path.iterdir())))


def is_image(path: Path) -> bool:
    return path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".")


def _by_stem(paths: Sequence[Path], unpaired: Callable) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            both = by_stem[path.stem], path
            unpaired(f"{both[0]} and {both[1]} differ only in the extension; rename or remove one", both)
        by_stem[path.stem] = path
    return by_stem


def _split_off_val(files: Files, root: Path) -> tuple[Files, Files]:
    if len(files) < 2:
        raise InputError(f"{root}: only one pair or photo; add more, training and validation need one each")
    by_hash = sorted(files, key=lambda stem: hashlib.sha256(stem.encode()).digest())
    val = set(by_hash[: max(1, round(VAL_SHARE * len(files)))])
    return (
        {stem: paths for stem, paths in files.items() if stem not in val},
        {stem: paths for stem, paths in files.items() if stem in val},
    )


def pairs_of(files: Sequence[tuple[Path, ...]], photos: bool = False) -> Pairs:
    """Side-by-side files, pairs of files, or photos -> pairs that are read on demand."""

    def read(index: int) -> tuple[np.ndarray, ...]:
        encoded = [read_file(path) for path in files[index]]
        return (decode_image(files[index][0], encoded[0]),) if photos else decode_pair(files[index], encoded)

    names = [" and ".join(map(str, paths)) for paths in files]
    return Pairs(names, read, (TARGET,) if photos else (INPUT, TARGET))


def _with_masks(pairs: Pairs, masks: Sequence[Path]) -> Pairs:
    def read(index: int) -> tuple[np.ndarray, ...]:
        pair = pairs.read(index)
        return *pair, read_mask(masks[index], pair[0].shape[:2])

    return replace(pairs, read=read, parts=(*pairs.parts, MASK))


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Reads the mask of a pair of (height, width) -> uint8 [h, w, 1]. Raises InputError if it does not fit the pair."""
    mask = decode_image(path, read_file(path))
    if mask.dtype != np.uint8 or mask.shape[2] > 1:
        raise InputError(f"mask {path}: not a gray 8-bit image (black for weight 0, white for 1); convert it")
    if mask.shape[:2] != size:
        sizes = [f"{width}x{height}" for height, width in (mask.shape[:2], size)]
        raise InputError(f"mask {path} is {sizes[0]} but its pair {sizes[1]} (width x height); resize the mask")
    return mask


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; check the file's name and permissions") from None
