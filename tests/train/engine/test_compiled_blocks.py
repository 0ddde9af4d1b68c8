"""Compiled blocks: the same losses, names and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from train.engine.runtime import compile_blocks, uncompiled


@pytest.mark.slow
# torch's own, while it compiles
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_blocks_train_as_they_would_otherwise(
    write: Callable[..., Path], fine_tune: Callable[..., Any], tmp_path: Path
) -> None:
    path = write(steps=4, checkpoint={"every": 2, "keep": 9})
    plain = fine_tune(path, f"--output={tmp_path / 'plain'}")
    compiled = fine_tune(path, "--compile")
    for name in ("loss", "held_out_loss"):
        assert compiled.metrics(name) == pytest.approx(plain.metrics(name), rel=1e-5)
    assert compiled.checkpoint(4).keys() == plain.checkpoint(4).keys()
    # A run goes on from either's checkpoint, and from its own to the same bits.
    whole = compiled.checkpoint(4)
    for folder in ("plain", "run"):
        for file in (tmp_path / folder / "checkpoints" / "step-00000004").iterdir():
            file.unlink()
        resumed = fine_tune(path, f"--output={tmp_path / folder}", "--compile", "--resume")
        for name, weight in resumed.checkpoint(4).items():
            tolerance = 0 if folder == "run" else 1e-4
            torch.testing.assert_close(weight, whole[name], rtol=tolerance, atol=tolerance)


def test_blocks_are_compiled_but_not_where_other_batches_come(
    make_small_components: Callable[..., Components], monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = Denoiser(make_small_components())
    names = list(denoiser.state_dict())
    seen: list[str] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append("compiled")
        return graph.forward

    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **_: compiled(call, backend=backend))
    compile_blocks(denoiser)
    assert list(denoiser.state_dict()) == names
    kinds = {type(m) for m in denoiser.modules() if m._compiled_call_impl}
    assert kinds == {BasicTransformerBlock}
    noisy = torch.zeros(1, 4, 8, 8)
    conditions = Conditions(text=torch.zeros(1, 77, dtype=torch.int64))
    with torch.no_grad(), uncompiled(denoiser):
        denoiser(noisy, torch.zeros(1), conditions)
    assert not seen
    with torch.no_grad():
        denoiser(noisy, torch.zeros(1), conditions)
    assert seen
