"""The lab's side: the agent process, the GPU worker process, imaging and models."""

__version__ = "0.1.0"
