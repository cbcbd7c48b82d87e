"""Native code at each level of instructions: right numbers, no races, no stray reads.

Levels that this processor lacks run too: AMX by `native/test_tiles.h`, which is the same in plain C++.
`REMORA_TEST_NATIVE_CASES` and `REMORA_TEST_EQUAL_REQUESTS` make more of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
from pathlib import Path

import pytest
import torch
from tests.engine.tiny_models import TinyModel, a_request, read, write_model
from transformers import AutoModelForCausalLM

from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.layers.quantized import quantize_layers
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.model import model_check
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.native import build
from remora.engine.torch.native.build import loaded, native_library
from remora.engine.torch.native.compiler import compile_library, installed_compiler
from remora.engine.torch.native.layers import in_one_place
from remora.engine.torch.native.levels import VARIABLE, Level, instructions, level_here
from remora.engine.torch.native.structs import STRUCTS, Matrix, Use
from remora.errors import InvalidInput

COMPILER = installed_compiler()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
HERE = Path(__file__).with_name("native")
SOURCES = Path(build.__file__).parent
SANITIZED = ["-O1", "-g", "-fno-sanitize-recover=all"]
TEST_TILES = (f"-I{HERE}", "-DREMORA_TEST_TILES")
CASES = os.environ.get("REMORA_TEST_NATIVE_CASES", "12")
EQUAL_REQUESTS = int(os.environ.get("REMORA_TEST_EQUAL_REQUESTS", "600"))  # 10000 where there is time
MANY_THREADS = 7
ODD = {"hidden_size": 72, "intermediate_size": 88, "num_attention_heads": 6, "head_dim": 12}  # parts of 24
ODD_TILES = {"hidden_size": 128, "intermediate_size": 176, "num_attention_heads": 4, "num_key_value_heads": 1}
WHOLE_BLOCKS = {"hidden_size": 128, "intermediate_size": 192, "initializer_range": 0.1}
BEST_HERE = min(level_here(), Level.AVX512)  # AMX is always the one in plain C++


@pytest.fixture(scope="module", params=["scalar", "here", "tiles"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    assert COMPILER is not None
    level = Level.SCALAR if request.param == "scalar" else BEST_HERE
    flags = TEST_TILES if request.param == "tiles" else ()
    return loaded(compile_library(COMPILER, tmp_path_factory.mktemp(request.param), level, *flags))


@needs_compiler
@pytest.mark.parametrize(
    ("level", "tiles", "sanitizer"),
    # What is no tile goes through the best registers here, so that build checks both.
    [
        (Level.SCALAR, False, "address,undefined"),
        (BEST_HERE, True, "address,undefined"),
        (BEST_HERE, True, "thread"),
        (
            BEST_HERE,
            False,
            None,
        ),  # as it is served: an optimised loop may round otherwise than the rest of it
    ],
    ids=["scalar-address", "here-address", "here-thread", "here-optimised"],
)
def test_products_and_layers_of_odd_sizes_are_right_with_any_number_of_threads(
    level: Level, sanitizer: str | None, tmp_path: Path, *, tiles: bool
) -> None:
    program = tmp_path / "check"
    command = [
        str(COMPILER),
        "-std=c++17",
        "-fno-math-errno",
        "-Wall",
        "-Wextra",
        "-Werror",
        # GCC 12 takes the undefined registers in its own AVX-512 header for mistakes of ours.
        "-Wno-uninitialized",
        "-Wno-maybe-uninitialized",
        "-pthread",
    ]
    command += [f"-m{name}" for name in instructions(level)]
    command += ["-O3"] if sanitizer is None else [*SANITIZED, f"-fsanitize={sanitizer}"]
    command += ["-DREMORA_TEST_THREADS"]
    command += [f"-I{SOURCES}", *(TEST_TILES if tiles else [f"-I{HERE}"])]
    made = subprocess.run(
        [*command, HERE / "check.cpp", "-o", program], capture_output=True, text=True, check=False
    )
    if "cannot find" in made.stderr:
        pytest.skip(f"this compiler comes without -fsanitize={sanitizer}")
    assert made.returncode == 0, made.stderr
    cases = CASES if sanitizer else str(10 * int(CASES))
    ran = subprocess.run([program, "1", cases], capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("this kernel leaves ThreadSanitizer no room (vm.mmap_rnd_bits)")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == f"{cases} cases are right\n"


@needs_compiler
def test_the_highest_level_compiles_wherever_it_may_run(tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("levels beyond plain C++ are for x86-64")
    assert COMPILER is not None
    library = compile_library(COMPILER, tmp_path, Level.AMX)
    if level_here() >= Level.AVX512:  # nothing but products of tiles needs AMX itself
        loaded(library)


@needs_compiler
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("sizes", [ODD, ODD_TILES], ids=["odd", "tiles"])
async def test_equal_requests_get_equal_log_probabilities(
    library: ctypes.CDLL, sizes: dict[str, int], quantize: str, tmp_path: Path
) -> None:
    tiny = TinyModel(write_model(tmp_path / "base", "llama", **sizes))
    adapter = tiny.add_adapter("odd", r=5, lora_alpha=10, target_modules="all-linear")
    base = AutoModelForCausalLM.from_pretrained(tiny.path, dtype=torch.bfloat16, attn_implementation="eager")
    exchange_attention(base)
    model = SlotModel(
        base,
        LoraSet(base, quantize=quantize, library=library),
        cache_tokens=2048,
        context_length=64,
        native_threads=MANY_THREADS,
    )
    engine = TorchEngine(model, HfTokenizer(tiny.path), max_queued_requests=EQUAL_REQUESTS)
    engine.load_adapter(adapter)
    asked = [
        a_request(range(9), request_id=str(i), adapter=adapter, max_tokens=2, top_logprobs=0)
        for i in range(EQUAL_REQUESTS)
    ]
    answers = await asyncio.gather(*(read(engine, request) for request in asked))
    engine.close()
    assert answers[0][0].logprob is not None
    assert len({tuple((event.token_id, event.logprob) for event in answer) for answer in answers}) == 1


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("sizes", [ODD, ODD_TILES], ids=["odd", "tiles"])
def test_every_level_passes_the_proof_that_is_made_at_load(
    library: ctypes.CDLL, sizes: dict[str, int], quantize: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    # Narrower than other tiny models, whose answers int8 weights change by more than the proof allows.
    folder = write_model(tmp_path, "llama", **sizes, initializer_range=0.1)
    lora = proven(folder, library, dtype, quantize)
    assert lora.library is library


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("quantize", ["nf4", "int4"])
def test_four_bits_pass_the_proof_at_every_level(
    library: ctypes.CDLL, quantize: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    lora = proven(write_model(tmp_path, "phi3", **WHOLE_BLOCKS), library, dtype, quantize)
    assert lora.library is library


@needs_compiler
def test_native_layers_that_add_an_adapter_wrongly_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def twice(pairs: dict[str, LoraPair]) -> dict[str, LoraPair]:
        return in_one_place({name: LoraPair(pair.a, pair.b * 2) for name, pair in pairs.items()})

    monkeypatch.setattr(model_check, "in_one_place", twice)
    assert proven(write_model(tmp_path, "llama"), native_library(), torch.float32).library is None
    assert "native layers differ" in caplog.text


@needs_compiler
def test_native_layers_whose_numbers_depend_on_threads_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    real = model_check.side_by_side

    def racing(model: object, lora: LoraSet, *, native_threads: int | None) -> torch.Tensor:
        return real(model, lora, native_threads=native_threads) * (1.0001 if native_threads == 16 else 1)

    monkeypatch.setattr(model_check, "side_by_side", racing)
    assert proven(write_model(tmp_path, "llama"), native_library(), torch.float32).library is None
    assert "native layers differ" in caplog.text


@needs_compiler
def test_a_library_whose_structs_are_of_other_sizes_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "STRUCTS", tuple(Matrix if struct is Use else struct for struct in STRUCTS))
    assert native_library.__wrapped__() is None
    assert "Matrix has 32 bytes" in caplog.text


def test_a_variable_caps_the_level_and_never_raises_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    highest = level_here()
    for level in Level:
        monkeypatch.setenv(VARIABLE, level.name.lower())
        assert level_here() == min(level, highest)


def test_a_level_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "sse9")
    with pytest.raises(InvalidInput, match="'sse9', which is none of scalar, avx2, avx512, amx"):
        level_here()


def proven(folder: Path, library: ctypes.CDLL | None, dtype: torch.dtype, quantize: str = "none") -> LoraSet:
    """The adapters' side of a model after the proof, with the library where it passed."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    if quantize in ("nf4", "int4"):
        quantize_layers(model, quantize)
    alone = model_check.answers_alone(model, folder)
    exchange_attention(model)
    lora = LoraSet(model, quantize=quantize, library=library)
    model_check.check_forward(model, lora, alone, folder)
    return lora
