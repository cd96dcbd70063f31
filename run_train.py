"""Trains a translator on pairs of pictures: python run_train.py --help."""

import sys

from tf_pix2pix.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
