"""The table of what is transient, and the memory of a server's answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra.error_docs.source import ErrorSource
from segrelay import errors
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    LeaseLostError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
    SeriesRefusedError,
    StoreUnavailableError,
)
from segrelay.orthanc import UnexpectedAnswerError
from segrelay.transient import (
    BY_CLASS,
    BY_CODE,
    AnswerHistory,
    Finality,
    OwnRefusalError,
    finality_of,
)
from tests.support.paths import ROOT

ABOUT_A_SERVER = ("common/segrelay/orthanc", "lab_side/download", "common/segrelay/bucket/gcs.py")
"""Where errors are made of what a server has answered."""

FINAL_KINDS = ("FixConfigurationError", "PermanentError")
PATIENCE = timedelta(minutes=5)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(clock: Clock) -> AnswerHistory:
    return AnswerHistory(
        OrthancUnavailableError, refused=OrthancRefusedError, patience=PATIENCE, monotonic=clock
    )


def login_page() -> SegRelayError:
    return FixConfigurationError("There is an HTML page.", code="orthanc-answer", remedy="Look.")


def test_every_class_of_the_tree_is_in_the_table() -> None:
    for name in set(errors.__all__) - {"SegRelayError"}:
        kind = getattr(errors, name)
        assert any(base in BY_CLASS for base in kind.__mro__), name


def test_every_code_about_a_server_is_in_the_table() -> None:
    """Nobody adds an error about a server without saying whether it is transient."""
    source = ErrorSource([ROOT / "common", ROOT / "lab_side", ROOT / "gcp_side"])
    asked = [ROOT / place for place in ABOUT_A_SERVER]
    found = {
        code
        for given in source.given
        if any(path == given.path or path in given.path.parents for path in asked)
        if _may_be_final(source, given.called)
        for code in given.codes
    }
    jobs_own = {"series-incomplete", "series-exceeds-disk", "parts-changed"}
    assert found - BY_CODE.keys() - jobs_own == set()
    assert len(found) > 15


def _may_be_final(source: ErrorSource, called: str) -> bool:
    """Whether a call makes an error that is not transient by its class; functions may."""
    return called not in source.kinds or any(source.is_a(called, kind) for kind in FINAL_KINDS)


def test_every_code_of_the_table_is_in_the_code() -> None:
    source = ErrorSource([ROOT / "common", ROOT / "lab_side", ROOT / "gcp_side"])
    assert BY_CODE.keys() <= source.codes()


@pytest.mark.parametrize(
    ("error", "finality"),
    [
        (SeriesRefusedError("No."), Finality.FINAL),
        (FixConfigurationError("No."), Finality.FINAL),
        (StoreUnavailableError("No."), Finality.TRANSIENT),
        (AttemptFailedError("No."), Finality.COUNTED),
        (LeaseLostError("No."), Finality.FINAL),
        (FixConfigurationError("No.", code="bucket-forbidden"), Finality.IF_IT_LASTS),
        (OrthancRefusedError("No.", code="orthanc-answer"), Finality.IF_IT_LASTS),
        (OrthancUnavailableError("No.", code="orthanc-answer"), Finality.IF_IT_LASTS),
        (OrthancRefusedError("No.", code="orthanc-not-found"), Finality.FINAL),
    ],
)
def test_the_table_is_asked_by_code_then_by_class(error: SegRelayError, finality: Finality) -> None:
    assert finality_of(error) is finality


@pytest.mark.parametrize(
    "code", [code for code, kind in BY_CODE.items() if kind is Finality.IF_IT_LASTS]
)
def test_a_servers_refusal_is_final_from_the_start_and_when_it_lasts(
    history: AnswerHistory, clock: Clock, code: str
) -> None:
    error = FixConfigurationError("Refused.", code=code, remedy="Look.")
    assert isinstance(history.judge(error, "system"), FixConfigurationError)
    history.note_success("system")
    first = history.judge(error, "system")
    assert isinstance(first, OrthancUnavailableError)
    assert (first.code, first.message, first.remedy) == (code, "Refused.", "Look.")
    clock.now += PATIENCE.total_seconds() - 1
    assert isinstance(history.judge(error, "system"), OrthancUnavailableError)
    clock.now += 1
    assert isinstance(history.judge(error, "system"), FixConfigurationError)


def test_a_right_answer_begins_the_patience_again(history: AnswerHistory, clock: Clock) -> None:
    history.note_success("system")
    for _ in range(10):
        clock.now += PATIENCE.total_seconds() - 1
        assert isinstance(history.judge(login_page(), "system"), OrthancUnavailableError)
        history.note_success("system")


def test_two_troubles_a_night_apart_are_not_one_that_lasts(
    history: AnswerHistory, clock: Clock
) -> None:
    history.note_success("system")
    for _ in range(3):
        assert isinstance(history.judge(login_page(), "system"), OrthancUnavailableError)
        clock.now += 8 * 3600


def test_what_one_operation_lacks_does_not_last_shorter_for_another(
    history: AnswerHistory, clock: Clock
) -> None:
    """Orthanc answers for itself, and a firewall lets no image through: that lasts."""
    history.note_success("system")
    for _ in range(4):
        assert isinstance(history.judge(login_page(), "file"), OrthancUnavailableError)
        history.note_success("system")
        clock.now += PATIENCE.total_seconds() / 4
    assert isinstance(history.judge(login_page(), "file"), FixConfigurationError)


def test_a_trouble_with_one_object_ends_its_job_and_nothing_else(
    history: AnswerHistory, clock: Clock
) -> None:
    history.note_success("file", "good")
    assert isinstance(history.judge(login_page(), "file", "bad"), OrthancUnavailableError)
    clock.now += PATIENCE.total_seconds()
    history.note_success("file", "good")
    judged = history.judge(login_page(), "file", "bad")
    assert isinstance(judged, OrthancRefusedError)
    assert judged.code == "orthanc-answer"


def test_an_odd_answer_about_one_series_is_its_jobs_own(
    history: AnswerHistory, clock: Clock
) -> None:
    odd = UnexpectedAnswerError("FileSize is no number of bytes.")
    history.note_success("inventory", "good")
    history.judge(odd, "inventory", "bad")
    clock.now += 1
    history.note_success("inventory", "good")
    assert history.judge(odd, "inventory", "bad") is odd
    clock.now += PATIENCE.total_seconds()
    assert isinstance(history.judge(odd, "inventory", "bad"), OrthancRefusedError)


def test_an_odd_answer_about_everything_is_the_servers_trouble(
    history: AnswerHistory, clock: Clock
) -> None:
    """Another service answers in JSON: no job is to blame."""
    odd = UnexpectedAnswerError("There is no list.")
    history.note_success("inventory", "good")
    clock.now += 1
    for series in ("a", "b", "a"):
        judged = history.judge(odd, "inventory", series)
        assert type(judged) is OrthancUnavailableError
        assert judged.code == "orthanc-answer"
    clock.now += PATIENCE.total_seconds()
    # One job alone in the queue: it has no other to be compared with, and ends no agent.
    assert isinstance(history.judge(odd, "inventory", "a"), OrthancRefusedError)


def test_no_patience_is_none(clock: Clock) -> None:
    history = AnswerHistory(OrthancUnavailableError, patience=timedelta(0), monotonic=clock)
    history.note_success("system")
    assert isinstance(history.judge(login_page(), "system"), FixConfigurationError)


def test_what_the_job_is_wrong_about_is_never_judged(history: AnswerHistory) -> None:
    history.note_success("system")
    error = SeriesRefusedError("There is no such series.", code="series-missing")
    assert history.judge(error, "inventory") is error


def test_a_block_is_judged_as_it_ends(history: AnswerHistory) -> None:
    assert not history.has_answered
    with history.judging("system"):
        pass
    assert history.has_answered
    with pytest.raises(OrthancUnavailableError) as caught, history.judging("system"):
        raise login_page()
    assert isinstance(caught.value.__cause__, FixConfigurationError)
    with pytest.raises(ZeroDivisionError), history.judging("system"):
        raise ZeroDivisionError


def test_what_a_server_itself_never_allowed_is_final_at_once(history: AnswerHistory) -> None:
    history.note_success("list")
    assert history.has_succeeded("list")
    assert not history.has_succeeded("create")
    error = OwnRefusalError("No right.", code="bucket-forbidden", remedy="Give it.")
    judged = history.judge(error, "create")
    assert (type(judged), judged.code) == (FixConfigurationError, "bucket-forbidden")
