"""The stages of a claimed job, in order, as heartbeats and progress name them."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from segrelay.texts import gettext_noop


class Step(IntEnum):
    """The parts of a request's way that its page shows; 0 is the wait for an agent."""

    DOWNLOAD = 1
    SEGMENTATION = 2
    STORAGE = 3


class Stage(StrEnum):
    """What an agent does with a job; the value is the word on the wire.

    An agent of a newer version may post other words: readers keep them as text.
    """

    step: Step
    sentence: str
    """In English, without capital and full stop."""

    def __new__(cls, word: str, step: Step = Step.DOWNLOAD, sentence: str = "") -> Stage:
        """A stage with what is shown of it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.step, member.sentence = step, sentence
        return member

    CLAIMED = "claimed", Step.DOWNLOAD, gettext_noop("starting")
    LOAD = "load", Step.DOWNLOAD, gettext_noop("loading the model")
    """By hand only: an agent has its models loaded."""
    FETCH = "fetch", Step.DOWNLOAD, gettext_noop("downloading")
    READY = "ready", Step.SEGMENTATION, gettext_noop("waiting for the GPU")
    """Downloaded, while another job is on the GPU."""
    READ = "read", Step.SEGMENTATION, gettext_noop("reading the images")
    REGISTER = "register", Step.SEGMENTATION, gettext_noop("aligning the series")
    PREPROCESS = "preprocess", Step.SEGMENTATION, gettext_noop("preparing the volumes")
    INFER = "infer", Step.SEGMENTATION, gettext_noop("segmenting")
    RESTORE = "restore", Step.SEGMENTATION, gettext_noop("placing the mask")
    SEG = "seg", Step.STORAGE, gettext_noop("writing the SEG")
    UPLOAD = "upload", Step.STORAGE, gettext_noop("storing the result")
    """The work is done: the SEG waits on the agent's disk, or is on its way."""
