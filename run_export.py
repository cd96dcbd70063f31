"""Exports a trained run as a SavedModel, TFLite and ONNX files: python run_export.py --help."""

import sys

from tf_pix2pix.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
