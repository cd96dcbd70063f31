"""Where pairs come from: one module per kind of source, one table of names. Importing it registers the published sets
with TensorFlow Datasets, as pix2pix/NAME."""

from pathlib import Path

from tf_pix2pix.datasets import folder, published, shards, synthetic_facades
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError

# Name -> what loads it from the name, the folder for archives, and the (height, width) of pictures that are drawn.
DATASETS = {
    "facades": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "cityscapes": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "maps": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "edges2shoes": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "edges2handbags": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "night2day": lambda name, data_dir, size: published.load(name, data_dir=data_dir),
    "synthetic_facades": lambda name, data_dir, size: synthetic_facades.load(size=size),
}

RECORD = "prepare.json"  # in a folder that cli.prepare has made: how, and whether it is finished


def load_pairs(
    dataset: str,
    *,
    data_dir: str | None = None,  # where published archives lie or are downloaded to
    size: tuple[int, int] = (286, 286),  # (height, width) of pictures that are drawn
    input_dir: str | None = None,  # folders: the sub-folder with A
    target_dir: str | None = None,  # folders: the sub-folder with B
    mask_dir: str | None = None,  # folders: the sub-folder with the weights of the training pairs' pixels
    photos: bool = False,  # folders and shards: of plain photos, each of which is both A and B
) -> dict[str, Pairs]:
    """The splits "train", "val" and "test" of a set named in DATASETS, or of a folder of pairs or of shards of them.

    Raises:
      InputError: no such set or folder, or there is something wrong with it; the message names it and the way out.
    """
    if dataset in DATASETS:
        if mask_dir:
            raise InputError(f"mask_dir is for folders; {dataset} has no masks")
        if input_dir or target_dir:
            raise InputError(f"input_dir and target_dir are for folders; {dataset} has its sides already")
        if Path(dataset).is_dir():
            print(f"{dataset} is the data set of that name; the folder here is --dataset=./{dataset}")
        return DATASETS[dataset](dataset, data_dir, size)
    if Path(dataset).is_dir():
        check_finished(dataset)
        if Path(dataset, shards.INDEX).is_file():
            if input_dir or target_dir:
                raise InputError(f"input_dir and target_dir are for folders; the shards in {dataset} have their sides")
            if mask_dir:
                raise InputError(f"mask_dir is for folders; the shards in {dataset} have no masks")
            return shards.load(dataset, photos=photos)
        return folder.load(dataset, input_dir=input_dir, target_dir=target_dir, mask_dir=mask_dir, photos=photos)
    raise InputError(f"{dataset} is neither a folder nor a known data set; the data sets are {', '.join(DATASETS)}")


def check_finished(folder: str | Path) -> None:
    """Raises InputError where cli.prepare was stopped while it made the folder."""
    record = Path(folder, RECORD)
    if record.is_file() and b'"finished": false' in record.read_bytes():
        raise InputError(f"{folder} is unfinished; run the command in {record} again, and it goes on")
