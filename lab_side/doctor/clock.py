"""This computer's clock against those of the servers."""

from __future__ import annotations

from lab_side.doctor.finding import Finding, Verdict

WORST_S, BAD_S = 300.0, 30.0
"""Above the first, sign-in to the cloud and certificates fail; above the second, it is wrong."""


def judge_clock(check: str, offset_s: float | None, whose: str) -> Finding:
    """``offset_s``: how far the other clock is ahead; None where it could not be asked."""
    if offset_s is None:
        return Finding.not_known(check, f"{whose} reports no time")
    side = "behind" if offset_s > 0 else "ahead of"
    detail = f"this computer's is {abs(offset_s):.0f} s {side} {whose}"
    if abs(offset_s) < BAD_S:
        return Finding.ok(check, f"it agrees with {whose}")
    return Finding(
        check=check,
        verdict=Verdict.FAILED if abs(offset_s) >= WORST_S else Verdict.WARNING,
        detail=detail,
        remedy="Let this computer set its clock by the network (Linux: timedatectl set-ntp true; "
        "Windows: w32tm /resync). If its time is right, it is the other one that is wrong.",
        code="clock-off",
    )
