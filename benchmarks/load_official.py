"""How long a generator of the official 256 px size takes to load on the CPU, and how much memory, from every layout.

    python benchmarks/load_official.py

Writes random weights of that size in each layout to a temporary folder and loads each in a fresh process (on Linux:
the peak is read from /proc).  Promised are under 5 seconds and at most twice the generator's size in memory.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _results import RESULTS, ROOT, machine, show, write

from sketchgan import Generator
from sketchgan.weights import checkpoints

sys.path.insert(0, str(ROOT))  # the tests know how NVIDIA's files look
from tests import nvidia_files  # noqa: E402

LOAD = """
import sys, time
from sketchgan.weights import checkpoints
from sketchgan.nets.stylegan2 import Generator

def memory(name):
    return next(1024 * int(line.split()[1]) for line in open('/proc/self/status') if line.startswith(name))

# The peak so far is forgotten first: a new process begins with its parent's.
open('/proc/self/clear_refs', 'w').write('5')
before, began = memory('VmRSS'), time.perf_counter()
checkpoints.load_generator(sys.argv[1])
print(time.perf_counter() - began, memory('VmHWM') - before)
"""


def nvidia_layout(G: Generator) -> dict:
    """The tensors of G under NVIDIA's names."""
    state, out = G.state_dict(), {}
    for i in range(G.num_mapping):
        out |= {f"mapping.fc{i}.{part}": state[f"style.{i + 1}.{part}"] for part in ("weight", "bias")}
    out |= {"mapping.w_avg": torch.zeros(G.w_dim), "synthesis.b4.const": state["input.input"][0]}
    for j, size in enumerate(G.channels, start=-1):
        layers = {"conv1": "conv1"} if j < 0 else {"conv0": f"convs.{2 * j}", "conv1": f"convs.{2 * j + 1}"}
        for number, (layer, name) in enumerate(layers.items(), start=2 * j + 1 if j >= 0 else 0):
            out |= {f"synthesis.b{size}.{layer}.{theirs}": state[f"{name}.{ours}"].reshape(shape)
                    for theirs, ours, shape in (
                ("weight", "conv.weight", state[f"{name}.conv.weight"].shape[1:]), ("bias", "activate.bias", (-1,)),
                ("noise_strength", "noise.weight", ()), ("affine.weight", "conv.modulation.weight", (-1, G.w_dim)),
                ("affine.bias", "conv.modulation.bias", (-1,)))}
            out[f"synthesis.b{size}.{layer}.noise_const"] = state[f"noises.noise_{number}"][0, 0]
            out[f"synthesis.b{size}.{layer}.resample_filter"] = state["convs.0.conv.blur.kernel"] / 4
        rgb = "to_rgb1" if j < 0 else f"to_rgbs.{j}"
        out |= {f"synthesis.b{size}.torgb.weight": state[f"{rgb}.conv.weight"][0],
                f"synthesis.b{size}.torgb.bias": state[f"{rgb}.bias"].flatten(),
                f"synthesis.b{size}.torgb.affine.weight": state[f"{rgb}.conv.modulation.weight"],
                f"synthesis.b{size}.torgb.affine.bias": state[f"{rgb}.conv.modulation.bias"],
                f"synthesis.b{size}.resample_filter": state["convs.0.conv.blur.kernel"] / 4}
    return {key: value.numpy() for key, value in out.items()}


def write_files(folder: Path) -> int:
    """One file of each layout; returns the size of the generator in bytes."""
    G = Generator(256)
    G.set_w_avg(torch.zeros(512))
    checkpoints.save(folder / "ours.safetensors", G=G)
    checkpoints.export(folder / "rosinality.pt", "rosinality", G=G)
    checkpoints.export(folder / "gansketching.pth", "gansketching", G=G, without=("w_avg",))
    pickled = nvidia_files.generator(nvidia_layout(G))
    (folder / "nvidia.pkl").write_bytes(nvidia_files.training_pickle(G=pickled, G_ema=pickled))
    return sum(value.nbytes for value in G.state_dict().values())


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        size = write_files(Path(folder))
        for path in sorted(Path(folder).iterdir()):
            done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
            seconds, peak = map(float, done.stdout.split())
            rows.append({"file": path.name, "megabytes": round(size / 1e6), "seconds": round(seconds, 2),
                         "peak_over_size": round(peak / size, 2), "machine": machine()})
    show([{key: value for key, value in row.items() if key != "machine"} for row in rows])
    print(f"on {machine()}")
    write(RESULTS / "load_official.csv", rows)


if __name__ == "__main__":
    main()
