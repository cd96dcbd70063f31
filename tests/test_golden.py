"""A run directory of an earlier version still restores and translates to the same image."""

from helpers import REPOSITORY, difference

from tf_pix2pix import images
from tf_pix2pix.run import Run
from tf_pix2pix.translation import Translator

GOLDEN = REPOSITORY / "tests" / "golden" / "run"
ADVICE = (
    "The golden run no longer translates to its image, so the runs of users would change, too. Find the change that "
    "did it and undo it. Do not make the golden run again, unless FORMAT_VERSION is raised on purpose: see "
    "tests/golden/README.md."
)


def test_the_golden_run_translates_to_the_same_image():
    try:
        [(input_image, _)] = Run.open(GOLDEN).examples("val")
        generated = Translator.from_run(GOLDEN).translate(input_image)
    except ValueError as error:
        raise AssertionError(f"{error}. {ADVICE}") from error
    expected = images.decode((GOLDEN / "examples" / "val" / "00_generated.png").read_bytes())
    assert expected.std() > 15  # otherwise any image would be close to it
    assert difference(generated, expected) <= 1, ADVICE
