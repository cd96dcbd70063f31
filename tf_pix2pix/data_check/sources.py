"""Opens a data set split by split, and finds problems in the names of its files."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.data_check.findings import Finding, format_count
from tf_pix2pix.data_check.opening import Opened, Source, open_files, open_pair, open_photo
from tf_pix2pix.datasets import DATASETS, check_finished, folder, load_pairs, shards
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, format_list

_OTHER_EXTENSIONS = {".heic", ".heif", ".avif", ".exr", ".dng", ".npz"}  # of images, but unknown to Pillow


def open_set(
    dataset: str,
    *,
    data_dir: str | None,
    input_dir: str | None,
    target_dir: str | None,
    mask_dir: str | None,
    task: str | None,
) -> tuple[dict[str, Source], list[Finding]]:
    """Returns the splits of a data set, and the findings about file names.

    Raises:
      InputError: as in training, except for files without a partner; no pair is left; or a task is given for pairs.
    """
    root = Path(dataset)
    dirs = {"input_dir": input_dir, "target_dir": target_dir, "mask_dir": mask_dir}
    if task and dataset in DATASETS:
        raise InputError(f"--task={task}: requires a folder of plain photos, but {dataset} has pairs; leave it out")
    if task and (given := [name for name, value in dirs.items() if value]):
        raise InputError(f"--{given[0]}: requires pairs, but --task={task} requires plain photos; leave one out")
    if dataset in DATASETS or not root.is_dir() or (root / shards.INDEX).is_file():
        splits = load_pairs(dataset, data_dir=data_dir, **dirs, photos=task is not None)
        if splits["test"] is splits["val"]:
            del splits["test"]
        return {split: _source_of_pairs(pairs, task) for split, pairs in splits.items()}, []
    check_finished(root)
    unpaired = _Unpaired(root)
    found = folder.find(dataset, input_dir, target_dir, task is not None, unpaired.add, mask_dir)
    if not any(found.values()):
        names = format_list(unpaired.alone)
        raise InputError(f"{dataset}: no pairs; give these images partners of the same name: {names}")
    files = folder.with_val(found, dataset, "photos" if task else "pairs")
    if not task and all(len(paths) == 1 for pairs in files.values() for paths in pairs.values()):
        print(f"{dataset}: A is the left half of each image, B the right half; check plain photos with --task")
    masks, findings = {}, unpaired.findings()
    if mask_dir:
        split = "" if "" in found else "train"
        masks, of_masks = _find_masks(root, root / split / mask_dir, files["train"], found[split])
        findings += of_masks
    sources = {
        split: _source_of_files(root, pairs, task, masks if split == "train" else {}) for split, pairs in files.items()
    }
    folders = {path.parent for pairs in files.values() for paths in pairs.values() for path in paths}
    return sources, findings + _find_ignored(folders, root)


def _source_of_files(root: Path, files: folder.Files, task: str | None, masks: dict[str, Path]) -> Source:
    names = [tuple(_name(path, root) for path in paths) for paths in files.values()]  # a third of the paths' memory
    own_masks = [masks.get(stem) for stem in files] if masks else None

    def open_one(index: int) -> Opened:
        paths = [root / name for name in names[index]]
        return open_photo(paths[0], task) if task else open_files(paths, own_masks and own_masks[index])

    return Source(len(names), names.__getitem__, open_one)


def _source_of_pairs(pairs: Pairs, task: str | None) -> Source:
    return Source(len(pairs), lambda index: (pairs.names[index],), lambda index: open_pair(pairs.read, index, task))


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


class _Unpaired:
    """The files that folder.find leaves out: without a partner, or with the name of another file."""

    def __init__(self, root: Path):
        self.root = root
        self.alone: list[str] = []
        self.same_names: list[list[str]] = []

    def add(self, message: str, paths: Sequence[Path]) -> None:
        names = [_name(path, self.root) for path in paths]
        if len({path.with_suffix("") for path in paths}) == 1 < len(paths):
            self.same_names.append(names)
        else:
            self.alone += names

    def findings(self) -> list[Finding]:
        if not self.alone:
            return self.same_name_findings()
        title = f"{format_count(len(self.alone), 'image')}: no partner of the same name"
        unmatched = Finding("unmatched", "error", title, "add the partners or remove these", self.alone)
        return [unmatched, *self.same_name_findings()]

    def same_name_findings(self) -> list[Finding]:
        if not self.same_names:
            return []
        title = f"{format_count(len(self.same_names), 'file')}: the same name as another except for the extension"
        return [Finding("same_name", "error", title, "rename or remove one", self.same_names)]


def _find_masks(root: Path, directory: Path, files: folder.Files, beside: folder.Files):
    """Returns a folder's masks by stem, and the findings about their names.

    Args:
      files: the training pairs, each of which needs a mask.
      beside: all pairs in the folders beside the masks, also those that become the validation split.
    """
    unpaired = _Unpaired(root)
    masks = folder.find_masks(directory, files, unpaired.add)
    found = [*unpaired.same_name_findings(), *_find_ignored({directory}, root)]
    if unpaired.alone:
        title = f"{format_count(len(unpaired.alone), 'training pair')}: no mask of the same name"
        advice = "add the masks; an all-white mask weights all pixels equally"
        found.append(Finding("no_mask", "error", title, advice, unpaired.alone))
    if extra := [_name(path, root) for stem, path in masks.items() if stem not in beside]:
        title = f"{format_count(len(extra), 'mask')}: no pair of the same name"
        found.append(Finding("mask_alone", "warning", title, "training ignores them", extra))
    return masks, found


def _find_ignored(folders: set[Path], root: Path) -> list[Finding]:
    """A finding about files that are images by their extension, but that training does not read."""
    extensions = {*Image.registered_extensions(), *_OTHER_EXTENSIONS} - set(images.EXTENSIONS)
    paths = (path for directory in folders for path in map(directory.joinpath, os.listdir(directory)))
    names = sorted(_name(path, root) for path in paths if path.suffix.lower() in extensions)
    if not names:
        return []
    title = f"{format_count(len(names), 'file')}: a format that training ignores"
    return [Finding("ignored", "warning", title, f"convert them to one of {', '.join(images.EXTENSIONS)}", names)]
