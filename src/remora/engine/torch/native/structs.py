"""The structs of layer.cpp and matrix.h, field by field, and nothing else."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p
from enum import IntEnum

MOST_PARTS = 3


class Kind(IntEnum):
    """What a matrix is kept in."""

    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2
    NF4 = 3
    INT4 = 4


class Activation(IntEnum):
    """Between the two products that follow attention."""

    SILU = 0
    GELU_TANH = 1
    RELU_SQUARED = 2


class Matrix(ctypes.Structure):
    _fields_ = (
        ("weight", c_void_p), ("scales", c_void_p), ("offsets", c_void_p), ("bias", c_void_p),
        ("kind", c_int64), ("block", c_int64), ("inputs", c_int64), ("outputs", c_int64),
        ("part_count", c_int64), ("first_module", c_int64), ("ends", c_int64 * (MOST_PARTS + 1)),
    )  # fmt: skip


class Pair(ctypes.Structure):
    _fields_ = (("a", c_void_p), ("b", c_void_p), ("columns", c_void_p), ("rank", c_int64))


class Use(ctypes.Structure):
    _fields_ = (("pairs", ctypes.POINTER(Pair)), ("first", c_int64), ("count", c_int64), ("scale", c_double))


class Products(ctypes.Structure):
    _fields_ = (
        ("use_count", c_int64), ("pair_kind", c_int64), ("widest", c_int64),
        ("uses", ctypes.POINTER(Use)), ("low", c_void_p), ("packed", c_void_p), ("steps", c_void_p),
        ("panels", c_void_p),
    )  # fmt: skip


class Norm(ctypes.Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p), ("epsilon", c_double), ("centred", c_int64))


class Layer(ctypes.Structure):
    _fields_ = (
        ("qkv", Matrix), ("o", Matrix), ("gate_up", Matrix), ("down", Matrix),
        ("input_norm", Norm), ("mlp_norm", Norm), ("attention_out", Norm), ("mlp_out", Norm),
        ("q_norm", Norm), ("k_norm", Norm),
        ("scaling", c_double), ("softcap", c_double), ("residual", c_double),
        ("activation", c_int64), ("heads", c_int64), ("kv_heads", c_int64), ("head_size", c_int64),
        ("parallel", c_int64), ("whole_norms", c_int64),
        ("window", c_int64), ("rotates", c_int64), ("rope", c_int64), ("interleaved", c_int64),
        ("keys", c_void_p), ("values", c_void_p), ("cache_rows", c_int64),
    )  # fmt: skip


class Head(ctypes.Structure):
    _fields_ = (("matrix", Matrix), ("norm", Norm))


class Step(ctypes.Structure):
    _fields_ = (
        ("rows", c_int64), ("hidden_size", c_int64), ("threads", c_int64), ("cache_kind", c_int64),
        ("hidden", c_void_p), ("normed", c_void_p), ("wide", c_void_p), ("attended", c_void_p),
        ("cos", c_void_p), ("sin", c_void_p), ("rotary_size", c_int64),
        ("cache_row", c_void_p), ("first_row", c_void_p), ("seen", c_void_p), ("scores", c_void_p),
        ("last_count", c_int64), ("last", c_void_p), ("logits", c_void_p),
        ("products", Products), ("last_products", Products),
    )  # fmt: skip


STRUCTS = (Matrix, Pair, Use, Products, Norm, Layer, Head, Step)  # in the order of remora_sizes
