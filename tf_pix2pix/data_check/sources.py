"""What is checked, split by split: the files of a folder, also where they do not pair, or the pairs or photos of a
named set or of shards."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.data_check.findings import Finding, counted
from tf_pix2pix.data_check.looking import Opened, Source, open_files, open_photo, open_read
from tf_pix2pix.datasets import DATASETS, check_finished, folder, load_pairs, shards
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, format_list

_OTHER_ENDINGS = {".heic", ".heif", ".avif", ".exr", ".dng", ".npz"}  # of pictures that Pillow does not know


def open_set(
    dataset: str,
    *,
    data_dir: str | None,
    input_dir: str | None,
    target_dir: str | None,
    mask_dir: str | None,
    task: str | None,
) -> tuple[dict[str, Source], list[Finding]]:
    """The splits of a set, and what is wrong with the names of its files.

    Raises:
      InputError: as training, but for files that do not pair; or there is no pair; or a task is given for pairs.
    """
    root = Path(dataset)
    sides = {"input_dir": input_dir, "target_dir": target_dir, "mask_dir": mask_dir}
    if task and (dataset in DATASETS or any(sides.values())):
        pairs = f"{dataset} is a set" if dataset in DATASETS else "input_dir, target_dir and mask_dir are for folders"
        raise InputError(f"{pairs} of pairs, task={task} is for a folder of plain photos; leave one of them out")
    if dataset in DATASETS or not root.is_dir() or (root / shards.INDEX).is_file():
        splits = load_pairs(dataset, data_dir=data_dir, **sides, photos=task is not None)
        if splits["test"] is splits["val"]:
            del splits["test"]
        return {split: _of_pairs(pairs, task) for split, pairs in splits.items()}, []
    check_finished(root)
    unpaired = _Unpaired(root)
    found = folder.find(dataset, input_dir, target_dir, task is not None, unpaired.add, mask_dir)
    if not any(found.values()):
        raise InputError(
            f"{dataset} has no pair; pictures without a partner of the same name: {format_list(unpaired.alone)}"
        )
    files = folder.hold_out(found, dataset, "photos" if task else "pairs")
    if not task and all(len(paths) == 1 for pairs in files.values() for paths in pairs.values()):
        print(f"{dataset}: A is the left half of each picture, B the right one; plain photos are checked with --task")
    masks, of_masks = {}, []
    if mask_dir:
        split = "" if "" in found else "train"
        masks, of_masks = _masks(root, root / split / mask_dir, files["train"], found[split])
    sources = {split: _of_files(root, pairs, task, masks if split == "train" else {}) for split, pairs in files.items()}
    folders = {path.parent for pairs in files.values() for paths in pairs.values() for path in paths}
    return sources, [*unpaired.findings(), *of_masks, *_passed_over(folders, root)]


def _of_files(root: Path, files: folder.Files, task: str | None, masks: dict[str, Path]) -> Source:
    names = [tuple(_name(path, root) for path in paths) for paths in files.values()]  # a third of the paths' memory
    own_masks = [masks.get(stem) for stem in files] if masks else None

    def open_one(index: int) -> Opened:
        paths = [root / name for name in names[index]]
        return open_photo(paths[0], task) if task else open_files(paths, own_masks and own_masks[index])

    return Source(len(names), names.__getitem__, open_one)


def _of_pairs(pairs: Pairs, task: str | None) -> Source:
    return Source(len(pairs), lambda index: (pairs.names[index],), lambda index: open_read(pairs.read, index, task))


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


class _Unpaired:
    """What folder.find leaves out: files without a partner, and groups of files of one name."""

    def __init__(self, root: Path):
        self.root = root
        self.alone: list[str] = []
        self.clashes: list[list[str]] = []

    def add(self, message: str, paths: Sequence[Path]) -> None:
        names = [_name(path, self.root) for path in paths]
        if len({path.with_suffix("") for path in paths}) == 1 < len(paths):
            self.clashes.append(names)
        else:
            self.alone += names

    def findings(self) -> list[Finding]:
        found = []
        if self.alone:
            title = f"{counted(len(self.alone), 'picture')} without a partner of the same name"
            found.append(Finding("unmatched", "error", title, "add the partners, or remove these", self.alone))
        return found + self.same_name()

    def same_name(self) -> list[Finding]:
        if not self.clashes:
            return []
        title = f"{counted(len(self.clashes), 'file')} with the name of another but for the ending"
        return [Finding("same_name", "error", title, "rename or remove one", self.clashes)]


def _masks(root: Path, directory: Path, files: folder.Files, beside: folder.Files):
    """The masks in a folder, by stem, and findings: what is wrong with their names. files: the pairs to train on, of
    those beside the masks."""
    unpaired = _Unpaired(root)
    masks = folder.find_masks(directory, files, unpaired.add)
    found = [*unpaired.same_name(), *_passed_over({directory}, root)]
    if unpaired.alone:
        title = f"{counted(len(unpaired.alone), 'pair')} to train on without a mask of the same name"
        advice = "each needs one; one that is white all over weighs all pixels alike"
        found.append(Finding("no_mask", "error", title, advice, unpaired.alone))
    if strange := [_name(path, root) for stem, path in masks.items() if stem not in beside]:
        title = f"{counted(len(strange), 'mask')} without a pair of the same name"
        found.append(Finding("mask_alone", "warning", title, "training passes over them", strange))
    return masks, found


def _passed_over(folders: set[Path], root: Path) -> list[Finding]:
    """A finding of the pictures, by their ending, that training does not read."""
    endings = {*Image.registered_extensions(), *_OTHER_ENDINGS} - set(images.EXTENSIONS)
    paths = (path for folder in folders for path in map(folder.joinpath, os.listdir(folder)))
    names = sorted(_name(path, root) for path in paths if path.suffix.lower() in endings)
    if not names:
        return []
    title = f"{counted(len(names), 'file')} of formats that training passes over"
    return [Finding("passed_over", "warning", title, f"it reads {', '.join(images.EXTENSIONS)}", names)]
