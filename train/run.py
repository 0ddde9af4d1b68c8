"""A training run from its checks to its result, the same for every program.

The run folder gets roentgen.json, config.yaml, metrics.jsonl, tensorboard/, previews/, caches/,
checkpoints/ and at the end model/, a plain diffusers pipeline.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from roentgen.diffusion.denoiser import Denoiser
from train.assembly import assemble
from train.checkpoints.checkpoint import load_checkpoint
from train.checkpoints.saver import warn_if_unwritable
from train.checkpoints.stop_signals import StopSignals
from train.checks import check_inputs
from train.config import RunConfig
from train.inputs import Inputs
from train.loop import TrainingRun, train
from train.setup.dry_run import dry_run
from train.setup.networks import make_denoiser
from train.setup.processes import make_accelerator
from train.setup.run_folder import make_run_folder, origin_of

C = TypeVar("C", bound=RunConfig)


def run(
    program: str,
    config: C,
    choose: Callable[[C, Inputs, Denoiser], None],
    save: Callable[[C, Inputs, TrainingRun, dict[str, Any]], None],
) -> None:
    """Train as configured. Raises InputError before any work where it cannot succeed.

    `choose` selects the weights that train, and `save` writes the result; all processes call both.
    Stopped by a signal it raises SystemExit; see `train.checkpoints.stop_signals`.
    """
    with StopSignals(config.output) as stop:
        accelerator = make_accelerator(config)
        inputs = check_inputs(config)
        denoiser = make_denoiser(config, inputs, accelerator, choose)
        if config.dry_run:
            dry_run(config, inputs, denoiser, accelerator)
            return
        origin = origin_of(program, config, inputs)
        make_run_folder(config, inputs, origin, accelerator)
        training = assemble(config, inputs, denoiser, accelerator, stop)
        if inputs.checkpoint:
            load_checkpoint(*inputs.checkpoint, training.state)
        train(training)
        training.state.optimizer.state.clear()  # it is saved; writing the result needs the memory
        save(config, inputs, training, origin)
        accelerator.wait_for_everyone()
        with warn_if_unwritable("the end of TensorBoard's log"):
            accelerator.end_training()  # last: it takes the processes apart
