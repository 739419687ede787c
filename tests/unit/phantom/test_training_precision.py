"""Training computes with 16 bits only where the processor can."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infra.training.precision import short_floats


@pytest.mark.parametrize(
    ("capabilities", "computed"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], computed: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    layer = nn.Linear(2, 2)
    with short_floats():
        result = layer(torch.ones(1, 2))
    assert result.dtype == computed
    assert layer.weight.dtype == torch.float32
