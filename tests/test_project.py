"""The files of the project beside the code."""

import configparser

from helpers import REPOSITORY
from packaging.requirements import Requirement
from packaging.version import Version

from tf_pix2pix.metrics import METRICS


def test_lower_bounds_are_the_constraints_of_the_lowest_versions():
    """setup.cfg declares >=VERSION where constraints-lowest.txt, with which the suite is run, has ==VERSION."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    requirements = [Requirement(line) for text in texts for line in text.splitlines() if line]
    bounds = {
        one.name: Version(bound.version) for one in requirements for bound in one.specifier if bound.operator == ">="
    }
    lines = (REPOSITORY / "constraints-lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert bounds == {name: Version(pin) for name, pin in pins.items()}


def test_the_manual_explains_every_metric():
    text = (REPOSITORY / "docs" / "evaluation.md").read_text(encoding="utf-8")
    better = {True: "higher", False: "lower", None: "as the targets"}
    for metric in METRICS.values():
        unit = f", {metric.unit}" if metric.unit else ""
        row = f"| {metric.label}{unit} | {better[metric.higher_is_better]} | {metric.meaning} |"
        assert row in text, f"docs/evaluation.md lacks the row {row}"
