"""Memory of sample.generate does not grow with the number of images that are planned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The network is replaced by noise, so that 50,000 images take minutes and not hours; planning,
# prompts, embeddings, encoding, parts, shards and finishing are the real ones.
PROGRAM = """
import json, resource, sys
import numpy as np
from roentgen.config import load_config
from roentgen.diffusion.sampling.sampler import Sampler
from sample.config import GenerateConfig
from sample.generation import generate

def sample(self, images, conditions=None):
    generator = np.random.default_rng(0)
    for image in images:
        yield generator.integers(0, 256, (32, 32), dtype=np.uint8)

Sampler.sample = sample
generate(load_config(GenerateConfig, sys.argv[1:]))
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def peak(model: Path, folder: Path, images: int) -> float:
    """MiB at most in memory while so many images are generated, each of a prompt of its own."""
    table = folder / f"{images}.csv"
    rows = (f"{i % 90} year old, case {i}" for i in range(images // 10))
    table.write_text("prompt\n" + "\n".join(f'"{row}"' for row in rows) + "\n")
    config = folder / f"{images}.yaml"
    config.write_text(
        json.dumps(
            {
                "model": str(model),
                "prompts": {"table": {"file": str(table), "column": "prompt"}, "count": 10},
                "output": str(folder / f"set-{images}"),
            }
        )
    )
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return float(made.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_is_constant_over_fifty_thousand_images(small_model: Path, tmp_path: Path) -> None:
    few, many = (peak(small_model, tmp_path, images) for images in (5_000, 50_000))
    print(f"{few:.0f} MiB for 5,000 images, {many:.0f} MiB for 50,000")
    assert many < few + 40  # a byte an image and pixel would be 46 MiB more
