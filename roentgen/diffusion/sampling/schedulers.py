"""Solvers for sampling, each for any model's noise schedule."""

from typing import Any

import diffusers

from roentgen.diffusion.sampling.settings import SchedulerName
from roentgen.errors import InputError

# The noise schedule and the prediction type come from the model; the solver's own settings
# are here, so that they do not depend on the scheduler that the model was saved with. Latents are
# not pixels and are not clipped.
_DPM: dict[str, Any] = {
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "thresholding": False,
    "timestep_spacing": "linspace",
    "final_sigmas_type": "zero",
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_UNIPC = {k: v for k, v in _DPM.items() if k != "algorithm_type"}
_UNIPC |= {"solver_type": "bh2", "predict_x0": True}
# Steps that are not even in time, but denser where little noise is left, where details are made
# (Karras et al. 2022, eq. 5).
_KARRAS = {"use_karras_sigmas": True}
SCHEDULERS: dict[SchedulerName, tuple[type[Any], dict[str, Any]]] = {
    "PNDM": (
        diffusers.PNDMScheduler,
        {"skip_prk_steps": True, "timestep_spacing": "leading", "steps_offset": 1},
    ),
    "DDIM": (
        diffusers.DDIMScheduler,
        {"clip_sample": False, "thresholding": False, "timestep_spacing": "trailing"},
    ),
    "DPM-Solver++": (diffusers.DPMSolverMultistepScheduler, _DPM),
    "DPM-Solver++ Karras": (diffusers.DPMSolverMultistepScheduler, _DPM | _KARRAS),
    "UniPC": (diffusers.UniPCMultistepScheduler, _UNIPC),
    "UniPC Karras": (diffusers.UniPCMultistepScheduler, _UNIPC | _KARRAS),
}
# Solvers that start at the noisiest level of any schedule.
_FROM_ZERO_SIGNAL = ("DDIM", "DPM-Solver++", "UniPC")


def make_scheduler(name: SchedulerName, trained: Any) -> Any:
    """A fresh scheduler with the noise schedule and prediction type of the `trained` one.

    Raises InputError for an unknown name and for a solver that cannot follow the noise schedule:
    Karras's steps would almost all be spent where there is hardly any signal.
    """
    if name not in SCHEDULERS:
        raise InputError(f"unknown scheduler {name!r}; choose one of: {', '.join(SCHEDULERS)}")
    if trained.config.get("rescale_betas_zero_snr") and name not in _FROM_ZERO_SIGNAL:
        raise InputError(
            f"{name} cannot start from zero signal, as this model's noise does: choose one of "
            f"{', '.join(_FROM_ZERO_SIGNAL)}"
        )
    if trained.config.get("beta_schedule") == "squaredcos_cap_v2" and name.endswith("Karras"):
        raise InputError(
            f"{name} cannot space its steps over this model's noise, whose schedule is a cosine "
            f"(squaredcos_cap_v2): choose {name.removesuffix(' Karras')}"
        )
    solver, options = SCHEDULERS[name]
    return solver.from_config(trained.config, **options)
