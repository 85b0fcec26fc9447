"""How long `import sketchgan` takes beside `import torch`: at most 1.2 times as long is promised.

    python benchmarks/import_time.py

Each import runs in a fresh interpreter; the two take turns, so that a busy moment of the machine meets both.
"""
import statistics
import subprocess
import sys
import time

from _results import RESULTS, machine, write

ROUNDS = 7
WHAT = {'torch': 'import torch', 'sketchgan': 'import torch, sketchgan',
        'sketchgan and its networks': 'from sketchgan import Generator, Discriminator, PhotoSketch, customize'}


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, '-c', code], check=True)
    return time.perf_counter() - began


def main():
    for code in WHAT.values():                                  # once unmeasured: the disk's cache is warm for all
        seconds(code)
    times = {name: [] for name in WHAT}
    for _ in range(ROUNDS):
        for name, code in WHAT.items():
            times[name].append(seconds(code))
    base = statistics.median(times['torch'])
    print(f'{"import":28} {"median s":>9} {"min":>6} {"max":>6} {"of torch":>9}')
    rows = []
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f'{name:28} {middle:9.2f} {min(taken):6.2f} {max(taken):6.2f} {middle / base:9.2f}')
        rows.append(dict(what=name, median=round(middle, 3), min=round(min(taken), 3), max=round(max(taken), 3),
                         of_torch=round(middle / base, 3), machine=machine()))
    write(RESULTS / 'import_time.csv', rows)


if __name__ == '__main__':
    main()
