"""The files of the project beside the code."""

import configparser

from helpers import REPOSITORY
from packaging.requirements import Requirement
from packaging.version import Version


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
