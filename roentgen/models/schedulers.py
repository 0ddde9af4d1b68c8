"""The solvers of sampling, each for any model's noise schedule."""

from typing import Any, Literal

import diffusers

from roentgen.errors import InputError

SchedulerName = Literal["PNDM", "DDIM", "DPM-Solver++", "UniPC"]
# The noise schedule and the prediction type come from the model; what the solver adds stands here,
# so that it does not hang on which scheduler the model was saved with. Latents are not pixels:
# nothing is clipped.
_EVEN = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
SCHEDULERS: dict[SchedulerName, tuple[type[Any], dict[str, Any]]] = {
    "PNDM": (
        diffusers.PNDMScheduler,
        {"skip_prk_steps": True, "timestep_spacing": "leading", "steps_offset": 1},
    ),
    "DDIM": (
        diffusers.DDIMScheduler,
        {"clip_sample": False, "thresholding": False, "timestep_spacing": "trailing"},
    ),
    "DPM-Solver++": (
        diffusers.DPMSolverMultistepScheduler,
        {
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
            "solver_type": "midpoint",
            "thresholding": False,
            "timestep_spacing": "linspace",
            "final_sigmas_type": "zero",
            **_EVEN,
        },
    ),
    "UniPC": (
        diffusers.UniPCMultistepScheduler,
        {
            "solver_order": 2,
            "solver_type": "bh2",
            "predict_x0": True,
            "thresholding": False,
            "timestep_spacing": "linspace",
            "final_sigmas_type": "zero",
            **_EVEN,
        },
    ),
}


def make_scheduler(name: SchedulerName, trained: Any) -> Any:
    """A fresh scheduler with the noise schedule and prediction type of the `trained` one.

    Raises InputError for an unknown name and for a solver that cannot follow the noise schedule.
    """
    if name not in SCHEDULERS:
        raise InputError(f"unknown scheduler {name!r}; choose one of: {', '.join(SCHEDULERS)}")
    if name == "PNDM" and trained.config.get("rescale_betas_zero_snr"):
        raise InputError("PNDM cannot start from zero signal, as this model's noise does: use DDIM")
    solver, options = SCHEDULERS[name]
    return solver.from_config(trained.config, **options)
