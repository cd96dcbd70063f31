"""Exports a trained run for servers and phones, as `pix2pix export` does. See python run_export.py --help."""

import sys

from tf_pix2pix.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
