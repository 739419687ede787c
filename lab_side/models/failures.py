"""Telling a GPU that fails from a program or a setting that is wrong."""

from __future__ import annotations

_WORDS = ("acceleratorerror", "cuda error", "cudnn", "cublas", "cufft", "hip error", "miopen")
"""In the name or the text of what torch raises: it has no class for all of them."""


def is_gpu_failure(error: Exception) -> bool:
    """Whether it is the GPU that failed, or what drives it."""
    text = f"{type(error).__name__} {error}".lower()
    return any(word in text for word in _WORDS)
