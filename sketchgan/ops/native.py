"""Native operators: C++ (and CUDA), compiled on first use, kept in the cache folder, and taken where they are faster.

Nothing is compiled at import, nor because a network runs: `impl='native'` compiles, and `python -m sketchgan tune` does
so once, measures every operator against plain PyTorch on this machine and writes down which is faster.  From then on
`impl='auto'` takes that one.  Without that file 'auto' is plain PyTorch, so that nobody waits for a compiler unasked.

The sources include as little of torch as they can (single operators of ATen, no Python), all in one file for the
compiler: that takes a quarter of the time.
"""
import contextlib
import functools
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from ..files.atomic import locked
from ..files.places import cache_folder

SOURCES = Path(__file__).with_name("csrc")
CPU_FILES, CUDA_FILES = ("operators.cpp",), ("kernels.cu", "glue_cuda.cpp")
# Of the processor that torch itself found: a compiled file in a shared home must not be faster than the next machine.
VECTORS = {"AVX2": ["-mavx2", "-mfma"], "AVX512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"]}
REMEDY = ("It needs a C++ compiler and ninja: `apt-get install g++` (macOS: `xcode-select --install`) and "
          "`pip install ninja`. Everything works without, by plain PyTorch: impl='fast'")
NEVER = 1 << 30             # as the least number of channels: at none is it faster
_chosen: dict[str, int] | None = None  # what is in force; None: not read yet


class NativeError(ImportError):
    """The operators could not be compiled or loaded; the message says why and what to do."""


@functools.cache
def library():
    """The compiled operators, `torch.ops.sketchgan`; the first call on a machine compiles them, for some 30 s.

    Raises:
        NativeError: without a compiler or ninja, or if they find a fault.
    """
    cuda = torch.cuda.is_available() and torch.version.cuda is not None
    files = [SOURCES / name for name in CPU_FILES + (CUDA_FILES if cuda else ())]
    flags = ["-O3", *VECTORS.get(torch.backends.cpu.get_cpu_capability(), [])]
    if torch.backends.openmp.is_available():
        flags.append("-fopenmp")
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(SOURCES.iterdir()))
    key = hashlib.sha256("|".join([torch.__version__, *flags, text]).encode()).hexdigest()[:12]
    folder = cache_folder() / "native" / key
    try:
        with _tools_on_path(), locked(folder, "compiling the operators", wait=True):
            (folder / "lock").unlink(missing_ok=True)       # torch's own, which an interrupted build leaves for ever
            _load(f"sketchgan_{key}", files, flags, folder, cuda)
    except (OSError, RuntimeError, ImportError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
        raise NativeError(f"the native operators could not be made ready: {said[:200]}. {REMEDY}.") from error
    return torch.ops.sketchgan


def _load(name: str, files: list[Path], flags: list[str], folder: Path, cuda: bool) -> None:
    from torch.utils import cpp_extension  # here: it looks for compilers when it is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                     # on the compiler's version, architectures of the GPU
        cpp_extension.load(name, [str(file) for file in files], extra_cflags=flags, extra_cuda_cflags=["-O3"],
                           build_directory=str(folder), with_cuda=cuda, is_python_module=False)


@contextlib.contextmanager
def _tools_on_path() -> Iterator[None]:
    """ninja of this very environment is found, whether it was activated or not."""
    before = os.environ.get("PATH", "")
    with contextlib.suppress(ImportError):
        if not shutil.which("ninja"):
            import ninja
            os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


# --- What 'auto' takes ------------------------------------------------------------------------------------------------

def choices_file() -> Path:
    """Where the measurement of this machine is kept."""
    return cache_folder() / "native" / "choices.json"


def choices() -> dict[str, int]:
    """Operator -> the least number of channels from which the native one is faster here; empty if nothing was measured,
    or with another torch or processor."""
    global _chosen
    if _chosen is None:
        _chosen = _read_choices()
    return _chosen


def _read_choices() -> dict[str, int]:
    try:
        stored = json.loads(choices_file().read_text(encoding="utf-8"))
        least = {name: int(value) for name, value in stored["least_channels"].items()}
        if stored["torch"] != torch.__version__ or stored["cpu"] != torch.backends.cpu.get_cpu_capability():
            return {}
        library()
        return least
    except NativeError as error:
        warnings.warn(f"plain PyTorch is used instead: {error}", stacklevel=2)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}


def forget_choices() -> None:
    """Read the measurement anew when it is next needed."""
    global _chosen
    _chosen = None


@contextlib.contextmanager
def choosing(least: dict[str, int]) -> Iterator[None]:
    """Within it, 'auto' takes native operators from these numbers of channels on, whatever was measured here."""
    global _chosen
    library()
    before, _chosen = _chosen, dict(least)
    try:
        yield
    finally:
        _chosen = before


def taken(operator: str, x: torch.Tensor, channels: int) -> bool:
    """Whether 'auto' means the native operator for `x`: it was measured to be faster from so many channels on."""
    if channels < choices().get(operator, NEVER):
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
