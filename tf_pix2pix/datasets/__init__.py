"""Where pairs come from: one module per kind of source, one table of names.

Importing this package registers the published sets with TensorFlow Datasets, as pix2pix/NAME.
"""

from pathlib import Path

from tf_pix2pix.datasets import folder, published, shards, synthetic_facades
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError

# Name -> loader, called with the name, the folder of archives, and the (height, width) of a synthetic set's images.
DATASETS = {
    "facades": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "cityscapes": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "maps": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "edges2shoes": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "edges2handbags": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "night2day": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "synthetic_facades": lambda name, data_dir, size: synthetic_facades.load(size=size),
}

RECORD = "prepare.json"  # in a folder that `pix2pix prepare` made: the command, and whether it has finished


def load_pairs(
    dataset: str,
    *,
    direction: str = "AtoB",  # "AtoB": A is the input; "BtoA": B is the input
    data_dir: str | None = None,  # folder of published archives, also for downloads
    size: tuple[int, int] = (286, 286),  # (height, width) of a synthetic set's images
    input_dir: str | None = None,  # folders: the sub-folder with A
    target_dir: str | None = None,  # folders: the sub-folder with B
    mask_dir: str | None = None,  # folders: the sub-folder with the pixel weights of the training pairs
    photos: bool = False,  # return targets alone, for a task: plain photos, or the targets of pairs
) -> dict[str, Pairs]:
    """The splits "train", "val" and "test" of a set in DATASETS, a folder of pairs or photos, or a folder of shards.

    Raises:
      InputError: the set or folder is unknown or unusable.
    """
    if dataset in DATASETS or Path(dataset, shards.INDEX).is_file():
        what = f"{dataset} is a named set" if dataset in DATASETS else f"{dataset} holds shards"
        given = {"input_dir": input_dir, "target_dir": target_dir, "mask_dir": mask_dir}
        if named := [name for name, value in given.items() if value]:
            raise InputError(f"--{named[0]} requires a folder of images, but {what}; leave it out")
    if dataset in DATASETS:
        if Path(dataset).is_dir():
            print(f"--dataset={dataset}: the named set; for the folder of this name pass --dataset=./{dataset}")
        splits = DATASETS[dataset](dataset, data_dir, size)
        splits = {split: pairs.oriented(direction) for split, pairs in splits.items()}
        return {split: pairs.targets() for split, pairs in splits.items()} if photos else splits
    if not Path(dataset).is_dir():
        raise InputError(f"--dataset={dataset}: neither a folder nor a named set ({', '.join(DATASETS)})")
    check_finished(dataset)
    if Path(dataset, shards.INDEX).is_file():
        splits = shards.load(dataset, photos=photos)
    else:
        splits = folder.load(dataset, input_dir=input_dir, target_dir=target_dir, mask_dir=mask_dir, photos=photos)
    return splits if photos else {split: pairs.oriented(direction) for split, pairs in splits.items()}


def check_finished(folder: str | Path) -> None:
    """Raises InputError if `pix2pix prepare` was stopped while it made the folder."""
    record = Path(folder, RECORD)
    if record.is_file() and b'"finished": false' in record.read_bytes():
        raise InputError(f"{folder}: preparing it was stopped; run the command in {record} again to finish it")
