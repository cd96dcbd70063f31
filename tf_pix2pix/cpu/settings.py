"""Process settings that make TensorFlow faster on CPUs. This module loads no TensorFlow."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # from glibc's malloc.h


def tune_process() -> None:
    """Applies both settings below. Call it before TensorFlow is imported; later, `enable_onednn` has no effect."""
    enable_onednn()
    keep_freed_memory()


def enable_onednn() -> None:
    """Turns on oneDNN's kernels, which TensorFlow leaves off on some CPUs, unless TF_ENABLE_ONEDNN_OPTS is set.

    TensorFlow reads the variable once, while it is imported, and has no other switch. A program that imports TensorFlow
    before tf_pix2pix must set TF_ENABLE_ONEDNN_OPTS=1 itself.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next allocation, from now on; does nothing with another C library.

    By default glibc returns every large buffer to the kernel, which clears its pages before it hands them out again.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TOP_PAD, 64 * 2**20)
