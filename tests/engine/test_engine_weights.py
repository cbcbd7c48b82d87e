"""One matrix in each of its forms, and linear layers that are multiplied together."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from remora.engine.torch.layers.projection import LoraStep, ProjectionPart, replace_linears
from remora.engine.torch.layers.weights import (
    Int8Weights,
    PackedWeights,
    PlainWeights,
    TallWeights,
    has_fast_bfloat16,
    keep_weights,
)

ROWS = (1, 2, 7, 8, 9, 33)
SHAPES = ((48, 64), (5, 33), (260, 48))


def a_matrix(shape: tuple[int, int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(shape, generator=generator).to(dtype),
        torch.randn(shape[0], generator=generator).to(dtype),
    )


def error_share(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(
    ("dtype", "quantize", "allowed"),
    [
        (torch.float32, "none", 1e-6),
        (torch.bfloat16, "none", 0.01),
        (torch.float32, "int8", 0.01),
        (torch.bfloat16, "int8", 0.015),
    ],
)
@torch.inference_mode()
def test_every_form_multiplies_as_the_plain_one(
    shape: tuple[int, int], rows: int, dtype: torch.dtype, quantize: str, allowed: float
) -> None:
    weight, bias = a_matrix(shape, dtype)
    x = torch.randn((rows, shape[1]), generator=torch.Generator().manual_seed(4)).to(dtype)
    for added in (None, bias):
        got = keep_weights(weight, added, quantize=quantize).multiply(x)
        expected = linear(x.float(), weight.float(), None if added is None else added.float())
        assert (got.dtype, got.shape) == (dtype, (rows, shape[0]))
        assert error_share(got, expected) < allowed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", ROWS)
@torch.inference_mode()
def test_a_head_multiplies_as_the_plain_one(shape: tuple[int, int], rows: int) -> None:
    weight, bias = a_matrix(shape, torch.bfloat16)
    x = torch.randn((rows, shape[1]), generator=torch.Generator().manual_seed(4)).to(torch.bfloat16)
    for added in (None, bias):
        got = TallWeights(weight, added).multiply(x)
        expected = linear(x.float(), weight.float(), None if added is None else added.float())
        assert (got.dtype, got.shape) == (torch.bfloat16, (rows, shape[0]))
        assert error_share(got, expected) < 0.01


def test_the_form_follows_precision_and_setting() -> None:
    half, _ = a_matrix((48, 64), torch.bfloat16)
    assert isinstance(keep_weights(half.float(), None), PlainWeights)
    assert isinstance(keep_weights(half, None, quantize="int8"), Int8Weights)
    if has_fast_bfloat16():
        assert isinstance(keep_weights(half, None), PackedWeights)
    head = TallWeights if torch.cpu._is_amx_tile_supported() else type(keep_weights(half, None))
    assert isinstance(keep_weights(half, None, is_head=True), head)


class Sibling(nn.Module):
    """Three projections of one input, and one of another; `k_proj` alone has a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.q_proj = nn.Linear(12, 8, bias=False)
        self.k_proj = nn.Linear(12, 4)
        self.v_proj = nn.Linear(12, 4, bias=False)
        self.o_proj = nn.Linear(8, 12)

    def get_output_embeddings(self) -> None:
        return None


@torch.inference_mode()
def test_siblings_are_one_multiplication_and_answer_each_for_itself() -> None:
    plain, fused = Sibling(), Sibling()
    projections = replace_linears(fused, LoraStep())
    assert sorted(p.names for p in projections) == [("o_proj",), ("q_proj", "k_proj", "v_proj")]
    first, second = torch.randn(1, 5, 12), torch.randn(1, 5, 12)
    # Also in an order that no model has, and with inputs that change between the calls.
    for name, x in (
        ("q_proj", first),
        ("k_proj", first),
        ("v_proj", first),
        ("v_proj", second),
        ("q_proj", first),
        ("q_proj", second),
        ("k_proj", first),
        ("o_proj", first[..., :8]),
    ):
        expected = plain.get_submodule(name)(x)
        torch.testing.assert_close(fused.get_submodule(name)(x), expected)


def test_the_original_weights_are_gone() -> None:
    fused = Sibling()
    replace_linears(fused, LoraStep())
    assert list(fused.parameters()) == []
    part = fused.q_proj
    assert isinstance(part, ProjectionPart)
    assert (part.in_features, part.out_features, part.weight.dtype) == (12, 8, torch.float32)
