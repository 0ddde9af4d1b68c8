"""Training beside a plain loop that works as the public example trainers do.

The plain loop is written from diffusers' public API: every batch is decoded, encoded by the VAE and
the text encoder, and AdamW is torch's default. Both train the same nets on the same images in the
same batches and number format; rounds of a few steps take turns, and medians are compared.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from torch.nn import functional
from torchvision import transforms

from roentgen.config import load_config
from roentgen.models.stable_diffusion import Parts, load_parts
from train.checks import check_inputs
from train.config import FinetuneConfig
from train.finetune import assemble, make_accelerator, make_denoiser, make_run_folder, origin_of
from train.loop import train
from train.saving import Saver
from train.stop import Stop

ROUNDS, STEPS = 4, 4  # the first step of a round is not counted


class Plain:
    """The loop of diffusers' examples/text_to_image/train_text_to_image.py, without flips."""

    def __init__(self, config: FinetuneConfig) -> None:
        precision = {"fp32": "no", "bf16": "bf16"}[config.precision]
        self.accelerator = Accelerator(cpu=True, mixed_precision=precision)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
        parts = load_parts(config.base)
        self.vae, self.text_encoder, self.unet = parts.vae, parts.text_encoder, parts.unet
        self.both = config.learning_rate.text_encoder is not None
        self.schedule = DDPMScheduler.from_config(parts.scheduler.config)
        self.vae.requires_grad_(False).to(dtype)
        if not self.both:
            self.text_encoder.requires_grad_(False).to(dtype)
        if config.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
        trained = [self.unet.train()] + ([self.text_encoder.train()] if self.both else [])
        self.trained = list(chain.from_iterable(net.parameters() for net in trained))
        optimizer = torch.optim.AdamW(self.trained, lr=1e-5, weight_decay=1e-2, eps=1e-8)
        loader = torch.utils.data.DataLoader(
            images_and_tokens(config.data.folder, parts),
            shuffle=True,
            batch_size=config.batch,
            collate_fn=collate,
        )
        rates = get_scheduler("constant", optimizer)
        prepared = self.accelerator.prepare(self.unet, optimizer, loader, rates)
        self.unet, self.optimizer, self.loader, self.rates = prepared
        if self.both:
            self.text_encoder = self.accelerator.prepare(self.text_encoder)
        self.dtype = dtype
        self.batches = self._batches()

    def _batches(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from self.loader

    def run(self, steps: int) -> list[float]:
        """Take steps; the seconds of each."""
        seconds = []
        for _ in range(steps):
            started = time.perf_counter()
            self._step(next(self.batches))
            seconds.append(time.perf_counter() - started)
        return seconds

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        pixels = batch["pixel_values"].to(self.dtype)
        latents = self.vae.encode(pixels).latent_dist.sample() * self.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        steps = torch.randint(0, self.schedule.config.num_train_timesteps, (len(latents),))
        noisy = self.schedule.add_noise(latents, noise, steps)
        states = self.text_encoder(batch["input_ids"], return_dict=False)[0]
        predicted = self.unet(noisy, steps, states, return_dict=False)[0]
        loss = functional.mse_loss(predicted.float(), noise.float())
        self.accelerator.gather(loss.repeat(len(latents))).mean().item()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.rates.step()
        self.optimizer.zero_grad()


def images_and_tokens(folder: Path, parts: Parts) -> Any:
    """The training images as tensors and their impressions as tokens, made when they are asked."""
    data = datasets.load_from_disk(str(folder))["train"]
    to_tensor = transforms.Compose(
        [
            transforms.Resize(parts.vae.config.sample_size),
            transforms.CenterCrop(parts.vae.config.sample_size),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )

    def prepare(rows: dict[str, list[Any]]) -> dict[str, Any]:
        told = [report["impression"] for report in rows["report"]]
        tokens = parts.tokenizer(
            told, max_length=77, padding="max_length", truncation=True, return_tensors="pt"
        )
        pixels = [to_tensor(image.convert("RGB")) for image in rows["image"]]
        return {"pixel_values": pixels, "input_ids": tokens.input_ids}

    return data.with_transform(prepare)


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


class Ours:
    """The program's own loop, taken up again for each round; nothing is saved."""

    def __init__(self, config: FinetuneConfig) -> None:
        accelerator, inputs = make_accelerator(config), check_inputs(config)
        denoiser = make_denoiser(config, inputs, accelerator)
        make_run_folder(config, inputs, origin_of(config, inputs), accelerator)
        stop = Stop(config.output)
        self.training = assemble(config, inputs, denoiser, accelerator, stop)
        self.waits: list[float] = []

    def run(self, steps: int) -> list[float]:
        """Take steps; the seconds of each."""
        t = self.training
        t.config = replace(t.config, steps=t.state.step + steps)
        train(t)
        lines = (t.config.output / "metrics.jsonl").read_text().splitlines()
        told = [line for line in map(json.loads, lines) if "images_per_second" in line][-steps:]
        self.waits += [line["loader_wait"] for line in told[1:]]
        return [t.config.batch / line["images_per_second"] for line in told]


def compare(config: FinetuneConfig, name: str) -> tuple[float, float]:
    """How many times the steps a second of the plain loop, and the share of waiting."""
    AcceleratorState._reset_state(reset_partial_state=True)
    mine = Ours(config)
    loops: dict[str, Plain | Ours] = {"plain": Plain(config), "ours": mine}
    seconds: dict[str, list[float]] = {loop: [] for loop in loops}
    for _ in range(ROUNDS):
        for loop, taken in seconds.items():
            taken += loops[loop].run(STEPS)[1:]
    plain, ours = (statistics.median(taken) for taken in seconds.values())
    wait = statistics.median(mine.waits)
    print(f"{name}: plain {plain:.2f} s, ours {ours:.2f} s, {plain / ours:.2f} x; wait {wait:.2%}")
    return plain / ours, wait


@pytest.fixture
def configure(
    tmp_path: Path, make_small_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FinetuneConfig]:
    """The configuration of a base at its size, `configure("tiny", size=128, batch=16)`."""
    monkeypatch.setattr(Saver, "save", lambda *_, **__: True)

    def make(base: str, size: int, batch: int, **changes: Any) -> FinetuneConfig:
        settings = {
            "base": base,
            "data": {"folder": str(make_small_dataset(tmp_path / "data", train=64, size=size))},
            "output": str(tmp_path / "run"),
            "steps": STEPS,
            "batch": batch,
            "prompt": {"view_token": False, "text": "impression"},
            "optimizer": {"schedule": "constant"},
            "ema": None,  # the plain loop has none
            "validation": None,
            "log_every": 1,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        return load_config(FinetuneConfig, [str(path)])

    return make


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("trained", "least"), [({"text_encoder": None}, 2.0), ({}, 1.5)], ids=["unet", "both"]
)
def test_steps_a_second_of_the_tiny_base(
    configure: Callable[..., FinetuneConfig],
    precision: str,
    trained: dict[str, Any],
    least: float,
) -> None:
    config = configure("tiny", 128, 16, precision=precision, learning_rate=trained)
    times, wait = compare(config, f"{precision}, {'unet' if trained else 'both nets'}")
    assert times >= least
    assert wait < 0.05
