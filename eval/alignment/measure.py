"""Alignment: whether it is what was asked for."""

from eval.alignment.clip_agreement import REAL, agreement, embed, prompted_sets
from eval.alignment.display import Agreement, definition, plots, summary, tables
from eval.alignment.judges import finding_judge, judges, judging_films, side_judge
from eval.config import EvaluateConfig
from eval.config_sections import AlignmentConfig
from eval.report.section import Part
from eval.sets import Sets
from roentgen.distributed import this_launch
from roentgen.metrics.estimates import Estimate
from roentgen.vision.clip import load_clip


def check_alignment(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for a CLIP model that is absent, or a prompt with an unknown view token."""
    for model in _section(config).clip:
        load_clip(model.model)
    if _section(config).clip:
        prompted_sets(sets)


def fill_alignment(config: EvaluateConfig, sets: Sets) -> None:
    """Train this process's share of the judges; make its share of the CLIP embeddings."""
    launch = this_launch()
    for k, train in enumerate((finding_judge, side_judge)):
        if k % launch.num_processes == launch.process_index:
            train(config, sets)
    for chosen in _section(config).clip:
        model = load_clip(chosen.model, launch.device())
        for images, prompts in prompted_sets(sets).values():
            embed(config, model, images, prompts, launch)


def measure_alignment(config: EvaluateConfig, sets: Sets) -> Part:
    """Judge every set, and the held-out real films, which are the ceiling."""
    asked = judges(config, sets)
    judged = {
        name: asked.measure(images) for name, images in (*sets.synthetic.items(), (REAL, sets.test))
    }
    agreements = {
        model.name: _agreement(config, model.model, sets) for model in _section(config).clip
    }
    learnt, validation = judging_films(config, sets)
    return Part(
        name="alignment",
        title="Alignment: is it what was asked for?",
        definition=definition(config, len(learnt), len(validation), asked, agreements),
        numbers={
            **judged,
            "clip": {
                name: {
                    "model": told.model,
                    "pool": told.pool,
                    "too_long": told.too_long,
                    "sets": told.sets,
                }
                for name, told in agreements.items()
            },
        },
        summary=summary(judged, agreements),
        tables=tables(config, judged, agreements),
        plots=plots(judged),
    )


def _agreement(config: EvaluateConfig, source: str, sets: Sets) -> Agreement:
    model, prompted = load_clip(source), prompted_sets(sets)
    pool, found = agreement(config, model, prompted)
    synthetic = [prompt for name in sets.synthetic for prompt in prompted[name][1]]
    different = list(dict.fromkeys(synthetic))
    by_set: dict[str, dict[str, Estimate]] = found
    return Agreement(
        model=f"{source}: {model.definition}",
        pool=pool,
        too_long=model.too_long(different) if different else 0,
        prompts=len(different),
        sets=by_set,
    )


def _section(config: EvaluateConfig) -> AlignmentConfig:
    assert config.alignment is not None
    return config.alignment
