"""Utility: whether training on it helps."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from eval.config import EvaluateConfig
from eval.config_sections import UtilityConfig
from eval.finding_scores import not_learnable
from eval.leakage import held_out_prompts, named_patients
from eval.networks.classifiers import Phase, predicted
from eval.networks.regimes import Regime, Training, hold_out, regimes, trainings
from eval.report.section import Part
from eval.sets import ImageSet, Sets
from eval.subgroups import groups_of
from eval.utility.display import definition, entry, plots, summary, tables
from eval.utility.scores import Said, films, gains, judge
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats, NotMeasured
from roentgen.record.findings import FindingName


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which networks are trained on what, and which cannot be."""

    train: ImageSet
    """The real films that are trained on."""
    validation: ImageSet
    """The real films that thresholds are chosen on: other patients."""
    made: ImageSet
    wanted: list[Regime]
    trainings: list[Training]
    not_measured: dict[Regime, NotMeasured]
    not_learned: dict[Regime, dict[FindingName, NotMeasured]]


def check_utility(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError if the set has held-out patients of its own, or steps are too few."""
    made = sets.synthetic[sets.main]
    leaked = named_patients(made, sets.test)
    if leaked:
        names = ", ".join(sorted(leaked)[:5]) + (", ..." if len(leaked) > 5 else "")
        raise InputError(
            f"synthetic.{made.name} holds {len(leaked)} patients that are held out here ({names}): "
            "networks must not train on them; leave their images out, or set utility=null"
        )
    if "pretrained" in section(config).regimes and config.classifier.steps < 2:
        raise InputError(
            "classifier.steps is 1, but utility.regimes has pretrained: give 2 or more"
        )


def plan(config: EvaluateConfig, sets: Sets) -> Plan:
    """All networks of this evaluation, whatever is trained already."""
    told, made = section(config), sets.synthetic[sets.main]
    held_out, rest = hold_out(sets.train.patients, told.validation, config.seed)
    train = sets.train.take(rest)
    wanted = regimes(told.regimes, told.fractions, told.multiples)
    every, not_measured = trainings(wanted, told.seeds, train.patients, len(made))
    not_learned: dict[Regime, dict[FindingName, NotMeasured]] = {}
    for regime in wanted:
        for each in (t for t in every if t.regime == regime):
            labels = np.concatenate([train.labels[each.real], made.labels[each.synthetic]])
            missing = not_learnable(labels, config.findings, config.min_cases)
            not_learned[regime] = missing | not_learned.get(regime, {})
        if regime in not_learned and len(not_learned[regime]) == len(config.findings):
            not_measured[regime] = NotMeasured("no finding has enough labels to train on")
    return Plan(
        train=train,
        validation=sets.train.take(held_out),
        made=made,
        wanted=wanted,
        trainings=[t for t in every if t.regime not in not_measured],
        not_measured=not_measured,
        not_learned=not_learned,
    )


def fill_utility(config: EvaluateConfig, sets: Sets) -> None:
    """Train this process's share of the networks, unless they were."""
    planned, launch = plan(config, sets), this_launch()
    mine = planned.trainings[launch.process_index :: launch.num_processes]
    for training in tqdm(mine, desc="train", unit="network", disable=not launch.is_main_process):
        _predicted(config, sets, planned, training)


def measure_utility(config: EvaluateConfig, sets: Sets) -> Part:
    """The same network trained in each regime, judged on held-out real films."""
    planned, test = plan(config, sets), sets.test
    on = films(
        test.labels,
        test.patients,
        groups_of(test.radiographs),
        planned.validation.labels,
        config.findings,
        min_cases=config.min_cases,
        samples=config.bootstrap,
        seed=config.seed,
    )
    judged = {
        regime: judge(_said(config, sets, planned, regime), on)
        for regime in planned.wanted
        if regime not in planned.not_measured
    }
    change = gains(
        {regime.name: judgement for regime, judgement in judged.items()},
        {regime.name: regime.base.name for regime in judged if regime.kind != "real"},
        config.findings,
    )
    trained = {
        regime.name: entry(judged[regime], [t for t in planned.trainings if t.regime == regime])
        if regime in judged
        else {"note": planned.not_measured[regime].note}
        for regime in planned.wanted
    }
    counts = {
        "trained_on": len(planned.train),
        "validation": len(planned.validation),
        "held_out": len(test),
    }
    return Part(
        name="utility",
        title="Utility: does training on it help?",
        definition=definition(
            config,
            counts,
            size=test.size,
            made=planned.made.name,
            held_out_prompts=len(held_out_prompts(planned.made, test)),
        ),
        numbers={
            "set": planned.made.name,
            "films": counts,
            "trained": trained,
            "gains": change,
        },
        summary=summary(planned.made.name, planned.wanted, change),
        tables=tables(config.findings, trained, change, section(config).seeds),
        plots=plots(planned.wanted, trained),
    )


def _said(config: EvaluateConfig, sets: Sets, planned: Plan, regime: Regime) -> Said:
    mine = [training for training in planned.trainings if training.regime == regime]
    held_out, validation = zip(
        *(_predicted(config, sets, planned, training) for training in mine), strict=True
    )
    return Said(held_out=held_out, validation=validation, not_learned=planned.not_learned[regime])


def _predicted(
    config: EvaluateConfig, sets: Sets, planned: Plan, training: Training
) -> list[Floats]:
    """What the network says of the held-out and of the validation films."""
    steps, rate = config.classifier.steps, config.classifier.learning_rate
    real, made = planned.train.take(training.real), planned.made.take(training.synthetic)
    together = tuple(s for s in (real, made) if len(s))
    phases = [Phase(sets=together, steps=steps, learning_rate=rate)]
    if training.regime.kind == "pretrained":
        told = section(config)
        first = min(max(1, round(told.pretraining * steps)), steps - 1)
        phases = [
            Phase(sets=(made,), steps=first, learning_rate=rate),
            Phase(sets=(real,), steps=steps - first, learning_rate=told.fine_tuning * rate),
        ]
    return predicted(config, training.seed, phases, [sets.test, planned.validation])


def section(config: EvaluateConfig) -> UtilityConfig:
    """The settings of this part, which is asked for."""
    assert config.utility is not None
    return config.utility
