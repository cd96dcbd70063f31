"""The files of the data sets that are prepared: side-by-side files or two folders, in splits or not."""

from collections.abc import Sequence
from pathlib import Path

from tf_pix2pix.datasets.folder import SPLITS, Files, find, is_image, match
from tf_pix2pix.errors import InputError, format_list


def find_files(folder: str, input_dir: str | None, target_dir: str | None, photos: bool = False) -> dict[str, Files]:
    """Returns the files of each split, in either layout. Prints which other sub-folders with images, such as masks, are
    left out."""
    found = find(folder, input_dir, target_dir, photos=photos)
    sides = {path.parent for _, _, paths in each_pair(found) if len(paths) == 2 for path in paths}
    others = {child for side in sides for child in side.parent.iterdir() if child.is_dir()} - sides
    if left_out := sorted(str(child) for child in others if any(map(is_image, child.iterdir()))):
        print(f"left out, because they are not a side of the pairs: {format_list(left_out)}")
    return found


def find_side_by_side(folder: str) -> dict[str, Files]:
    """Returns the side-by-side files of each split. Raises InputError for two folders."""
    found = find(folder)
    if any(len(paths) == 2 for _, _, paths in each_pair(found)):
        raise InputError(f"{folder}: two folders of images; cutting requires side-by-side files")
    return found


def find_two_folders(
    folders: Sequence[str], input_dir: str | None = None, target_dir: str | None = None
) -> dict[str, Files]:
    """Returns the pairs of each split of two folders, A and B, or of one folder that holds both."""
    if len(folders) == 2:
        return _match_splits(*map(Path, folders))
    found = find_files(folders[0], input_dir, target_dir)
    if any(len(paths) == 1 for _, _, paths in each_pair(found)):
        raise InputError(f"{folders[0]}: images without a second side; give two folders, or one that holds two")
    return found


def _match_splits(a: Path, b: Path) -> dict[str, Files]:
    for folder in (a, b):
        if not folder.is_dir():
            raise InputError(f"{folder}: not a folder; pass the folders of A and B")
    splits = [split for split in SPLITS if (a / split).is_dir() or (b / split).is_dir()]
    for folder in (side / split for side in (a, b) for split in splits):
        if not folder.is_dir():
            raise InputError(f"{folder}: missing; both folders need the same splits ({', '.join(SPLITS)})")
    found = {split: match(a / split, b / split) for split in splits or [""]}
    if not any(found.values()):
        raise InputError(f"{a} and {b}: no images; pass the folders of A and B")
    return found


def each_pair(found: dict[str, Files]) -> list[tuple[str, str, tuple[Path, ...]]]:
    """Returns (split, stem, paths) of every pair or photo."""
    return [(split, stem, paths) for split, files in found.items() for stem, paths in files.items()]


def side_folder(path: Path, paths: Sequence[Path]) -> str:
    """Returns the name of the folder of a pair's side, or "" for a side-by-side file."""
    return path.parent.name if len(paths) == 2 else ""
