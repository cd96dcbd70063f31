"""Trains an image-to-image translator on pairs of images, as `pix2pix train` does. See python run_train.py --help."""

import sys

from tf_pix2pix.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
