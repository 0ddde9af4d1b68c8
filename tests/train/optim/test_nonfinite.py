"""Steps with a non-finite loss or gradient: skipped, named, and ended after too many in a row."""

import json
import math
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor

from roentgen.errors import InputError
from train.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from train.loading.batches import Batch, Examples
from train.loading.draws import DrawPlan, Draws, DrawSettings
from train.loop import TrainingRun, slice_losses
from train.optim.nonfinite import NonfiniteGuard, SkipCounts, propagate_nonfinite, step_if_finite

Write = Callable[..., Path]
FineTune = Callable[..., Any]
EVERY = {"checkpoint": {"every": 1, "keep": 9}, "validation": None}


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[int]], None]:
    """Lets the latents of these items be NaN."""

    def spoil_items(items: Iterable[int]) -> None:
        batch, bad = Examples.batch, set(items)

        def spoiled(self: Examples, draws: Draws, *rest: Any) -> Batch:
            made = batch(self, draws, *rest)
            for place, item in enumerate(made.items.tolist()):
                if item in bad:
                    made.latents[place, 0, 0, 0] = math.nan
            return made

        monkeypatch.setattr(Examples, "batch", spoiled)

    return spoil_items


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_loss_that_is_not_finite_has_no_finite_gradient() -> None:
    errors = torch.tensor([3.0, 1e20, math.nan, 0.0], requires_grad=True)
    losses = errors.square()  # the second is infinite, its gradient is not
    passed = propagate_nonfinite(losses)
    assert torch.equal(passed[[0, 3]], losses[[0, 3]])
    (slope,) = torch.autograd.grad(passed.sum(), errors)
    assert slope[[0, 3]].tolist() == [6.0, 0.0]
    assert not slope[[1, 2]].isfinite().any()


EIGHT_BIT = pytest.param(
    "adamw8bit",
    marks=pytest.mark.skipif(
        find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
    ),
)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", EIGHT_BIT])
def test_a_spoilt_items_step_changes_nothing_and_names_it(
    write: Write,
    fine_tune: FineTune,
    spoil: Callable[[Iterable[int]], None],
    capsys: pytest.CaptureFixture[str],
    optimizer: str,
) -> None:
    ema = {"decay": 0.5, "posthoc": {"every": 9}}
    settings = DrawSettings(
        seed=0,
        items=16,
        batch_size=4,
        shape=(4, 8, 8),
        timesteps=1000,
        style_weights=[1],
        caption_dropout=0.1,
    )
    item = DrawPlan(settings).item(2 * 4 + 1)  # met at the third step
    spoil([item])
    changes = {"optimizer": {"name": optimizer}, "ema": ema, "gradient_accumulation": 2, **EVERY}
    run = fine_tune(write(steps=4, **changes))
    # Sixteen items in four steps of four: this one is met once.
    assert run.lines("skipped") == [{"step": 3, "skipped": "loss", "items": [f"train-{item}"]}]
    told = f"step 3 skipped: a loss is not finite, with train-{item}\n"
    assert told in capsys.readouterr().out
    assert [line["step"] for line in run.lines("loss")] == [1, 2, 4]
    assert_same(run.checkpoint(3), run.checkpoint(2))
    assert not torch.equal(*(run.checkpoint(n)["weights:unet.conv_in.weight"] for n in (3, 4)))


def test_what_follows_is_what_would_have_followed(
    write: Write,
    fine_tune: FineTune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(steps=4, ema={"decay": 0.5}, **EVERY)
    jumped = fine_tune(path, f"--output={tmp_path / 'jumped'}", "--steps=4")
    for step in (3, 4):  # as if it had been killed after the second step
        for file in (jumped.folder / "checkpoints" / f"step-{step:08d}").iterdir():
            file.unlink()

    def load_and_jump(*arguments: Any) -> None:
        load_checkpoint(*arguments)
        arguments[-1].step += 1

    with monkeypatch.context() as patch:
        patch.setattr("train.run.load_checkpoint", load_and_jump)
        fine_tune(path, f"--output={tmp_path / 'jumped'}", "--resume=true")
    losses = slice_losses

    def spoiled(training: TrainingRun, batch: Batch) -> Tensor:
        factor = math.nan if training.state.step == 2 else 1.0
        return losses(training, batch) * factor

    monkeypatch.setattr("train.loop.slice_losses", spoiled)
    assert_same(fine_tune(path).checkpoint(4), jumped.checkpoint(4))


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_row_of_them_ends_the_run_wherever_it_was_interrupted(
    write: Write, fine_tune: FineTune, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def losses_of(training: TrainingRun, batch: Batch) -> Tensor:
        losses = slice_losses(training, batch)
        if training.state.step < 1:
            return losses
        if broken == "gradient":
            return losses + (losses - losses).sqrt()  # infinite slope, finite value
        return losses + torch.tensor([0.0, 0.0, math.inf, 0.0])

    monkeypatch.setattr("train.loop.slice_losses", losses_of)
    settings = {"checkpoint": {"every": 3, "keep": 1}, "optimizer": {"max_skipped_steps": 4}}
    path = write(steps=30, validation=None, log_every=100, **settings)

    class StoppedError(Exception):
        pass

    def save_and_stop(*arguments: Any, **options: Any) -> None:
        save_checkpoint(*arguments, **options)
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr("train.checkpoints.saver.save_checkpoint", save_and_stop)
        with pytest.raises(StoppedError):
            fine_tune(path)
    # Two in a row are behind it: with the two up to step 5 and one more there are five.
    with pytest.raises(InputError, match=r"not finite 5 times in a row; .* lower") as error:
        fine_tune(path, "--resume=true")
    assert "\n" not in str(error.value)
    run = path.parent / "run"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000003"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["skipped"]) for line in lines] == [(n, broken) for n in range(2, 7)]
    assert {len(line["items"]) for line in lines} == {1 if broken == "loss" else 4}


@pytest.fixture
def scaled() -> Callable[[float], tuple[Any, Any, Tensor]]:
    """An accelerator and an optimizer with a loss scaler, as in fp16, and the weights."""

    def make(scale: float) -> tuple[Any, Any, Tensor]:
        accelerator = Accelerator(cpu=True)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        weights = torch.nn.Parameter(torch.ones(3))
        inner = torch.optim.AdamW([weights], lr=0.1, fused=True)
        optimizer = AcceleratedOptimizer(inner, device_placement=False, scaler=accelerator.scaler)
        return accelerator, optimizer, weights

    return make


def take_step(
    guard: NonfiniteGuard,
    accelerator: Any,
    optimizer: Any,
    weights: Tensor,
    step: int,
    factor: float,
) -> None:
    loss = guard.loss(weights * factor)
    accelerator.scaler.scale(loss).backward()
    accelerator.scaler.unscale_(optimizer.optimizer)
    assert weights.grad is not None
    step_if_finite(optimizer, guard.check(step, weights.grad.norm()))
    optimizer.zero_grad()


def test_overflows_of_fp16_count_apart(
    scaled: Callable[[float], tuple[Any, Any, Tensor]],
) -> None:
    accelerator, optimizer, weights = scaled(2.0**100)
    guard, seen = NonfiniteGuard(SkipCounts(), accelerator), [weights.detach().clone()]
    for step, factor in enumerate((1e9, 1e9, 1e8, math.nan)):  # 2^98 * 1e9 / 3 is a float32
        take_step(guard, accelerator, optimizer, weights, step, factor)
        seen.append(weights.detach().clone())
    changed = [not torch.equal(a, b) for a, b in pairwise(seen)]
    assert changed == [False, True, True, False]
    assert [(skip.step, skip.reason) for skip in guard.skipped_steps()] == [(3, "loss")]
    assert guard.skips == SkipCounts(total=1, in_row=1, overflows=1)
    assert guard.log_values()["overflows"] == 1
    state = optimizer.optimizer.state[weights]
    assert state["step"] == 2
    guard.check_limit(limit=2)
    with pytest.raises(InputError, match="not finite 1 times in a row"):
        guard.check_limit(limit=1)


def test_a_loss_scale_that_cannot_be_lowered_ends_the_run(
    scaled: Callable[[float], tuple[Any, Any, Tensor]],
) -> None:
    accelerator, optimizer, weights = scaled(1.5)
    guard = NonfiniteGuard(SkipCounts(), accelerator)
    loss = guard.loss(weights * 1.0)
    accelerator.scaler.scale(loss).backward()
    weights.grad = torch.full_like(weights, math.inf)
    accelerator.scaler.unscale_(optimizer.optimizer)
    step_if_finite(optimizer, guard.check(6, weights.grad.norm()))
    with pytest.raises(InputError, match=r"even at a loss scale of 0\.75 at step 7: train in bf16"):
        guard.skipped_steps()
