"""Selection: which data set a model's images are from, and the folders and direction given for it."""

import pytest
from helpers import change, make_sides, random_image, write_image

from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.evaluation.selection import select_images


@pytest.fixture
def folder(tmp_path):
    for split, seeds in {"train": (0, 1), "val": (2,), "test": (3,)}.items():
        for name in ("a", "b", "c"):
            for seed in seeds:
                write_image(tmp_path / "set" / split / name / f"{split} {seed}.png", random_image(seed, 40, 48))
    return tmp_path / "set"


def test_given_folders_and_direction_reach_the_training_pairs(folder):
    """So that trivial answers and the label network are made from them too."""
    config = change(dataset=str(folder), direction="AtoB", input_dir="a", target_dir="b")
    loaded = []

    def load(dataset, **places):
        loaded.append(places)
        return load_pairs(dataset, **places)

    given = dict(data_dir="elsewhere", direction="BtoA", input_dir="a", target_dir="c")
    found = select_images(config, make_sides(), load=load, **given)
    assert [found.names, [*map(str, found.train().names)][0].count("/c/")] == [["test 3"], 1]
    assert all(places.items() >= given.items() for places in loaded) and len(loaded) == 2
    assert {name: getattr(found.config, name) for name in given} == given
    assert found.facts["direction"] == "BtoA"


def test_another_data_set_leaves_the_training_pairs_alone(folder, tmp_path):
    config = change(dataset=str(folder), direction="AtoB", input_dir="a", target_dir="b")
    for name in ("x", "y"):
        write_image(tmp_path / "new" / name / "1.png", random_image(0, 40, 48))
    found = select_images(config, make_sides(), dataset=str(tmp_path / "new"), direction="BtoA")
    assert found.config == config and found.names == ["1"]
    assert [*found.train().names] == [*select_images(config, make_sides()).train().names]


def test_a_note_says_that_images_are_known(folder, tmp_path):
    config = change(dataset=str(folder), direction="AtoB", input_dir="a", target_dir="b")
    assert select_images(config, make_sides(), split="train").facts["note"].startswith("the training split: ")
    (folder / "test").rename(tmp_path / "gone")
    chosen = "the data set has no test split; this is the validation split"
    assert select_images(config, make_sides()).facts["note"] == f"{chosen}, on which the best checkpoint was chosen"
    other = change(dataset="synthetic_facades")
    assert (
        select_images(other, make_sides(), dataset=str(folder), input_dir="a", target_dir="b").facts["note"] == chosen
    )
