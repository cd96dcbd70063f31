"""What is checked, split by split: the files of a folder, also where they do not pair, or the pairs of a named set or
of shards."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.data_check.findings import Finding, counted
from tf_pix2pix.data_check.looking import Source, open_files, open_pair
from tf_pix2pix.datasets import DATASETS, check_finished, folder, load_pairs, shards
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, listed


def open_set(
    dataset: str, *, data_dir: str | None, input_dir: str | None, target_dir: str | None
) -> tuple[dict[str, Source], list[Finding]]:
    """The splits of a set, and what is wrong with the names of its files.

    Raises:
      InputError: as training, but for files that do not pair; or there is no pair.
    """
    root = Path(dataset)
    if dataset in DATASETS or not root.is_dir() or (root / shards.INDEX).is_file():
        splits = load_pairs(dataset, data_dir=data_dir, input_dir=input_dir, target_dir=target_dir)
        if splits["test"] is splits["val"]:
            del splits["test"]
        return {split: _of_pairs(pairs) for split, pairs in splits.items()}, []
    check_finished(root)
    unpaired: list[Sequence[Path]] = []
    files = folder.find(dataset, input_dir, target_dir, unpaired=lambda message, paths: unpaired.append(paths))
    if sum(map(len, files.values())) > 1:
        files = folder.hold_out(files, dataset)
    elif not any(files.values()):
        alone = [path for paths in unpaired for path in paths]
        raise InputError(f"{dataset} has no pair; pictures without a partner of the same name: {listed(alone)}")
    sources = {split: _of_files(root, list(found.values())) for split, found in files.items()}
    folders = {path.parent for found in files.values() for paths in found.values() for path in paths}
    return sources, [*_unpaired(unpaired, root), *_passed_over(folders, root)]


def _of_files(root: Path, paths: list[tuple[Path, ...]]) -> Source:
    names = [tuple(str(path.relative_to(root)) for path in pair) for pair in paths]  # a third of the paths' memory
    return Source(len(names), names.__getitem__, lambda index: open_files([root / name for name in names[index]]))


def _of_pairs(pairs: Pairs) -> Source:
    return Source(len(pairs), lambda index: (pairs.names[index],), partial(open_pair, pairs.read))


def _unpaired(unpaired: Sequence[Sequence[Path]], root: Path) -> list[Finding]:
    """Findings of what folder.find has left out: two files of one name, and files without a partner."""
    clashes, alone = [], []
    for paths in unpaired:
        names = [str(path.relative_to(root)) for path in paths]
        if len({path.with_suffix("") for path in paths}) == 1 < len(paths):
            clashes.append(names)
        else:
            alone += names
    found = []
    if alone:
        title = f"{counted(len(alone), 'picture')} without a partner of the same name"
        found.append(Finding("unmatched", "error", title, "add the partners, or remove these", alone))
    if clashes:
        title = f"{counted(len(clashes), 'file')} with the name of another but for the ending"
        found.append(Finding("same_name", "error", title, "rename or remove one", clashes))
    return found


def _passed_over(folders: set[Path], root: Path) -> list[Finding]:
    """A finding of the pictures, by their ending, that training does not read."""
    endings = set(Image.registered_extensions()) - set(images.EXTENSIONS)
    paths = (path for folder in sorted(folders) for path in sorted(folder.iterdir()))
    names = [str(path.relative_to(root)) for path in paths if path.suffix.lower() in endings]
    if not names:
        return []
    title = f"{counted(len(names), 'file')} of formats that training passes over"
    return [Finding("passed_over", "warning", title, f"it reads {', '.join(images.EXTENSIONS)}", names)]
