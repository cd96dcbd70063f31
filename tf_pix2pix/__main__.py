"""python -m tf_pix2pix: the pix2pix command."""

import sys

from tf_pix2pix.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
