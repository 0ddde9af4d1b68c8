"""Segmentation utility: whether training a segmenter on it helps."""

from dataclasses import dataclass

from tqdm import tqdm

from eval.config import EvaluateConfig
from eval.config_sections import SegmentationConfig
from eval.finding_scores import resamples
from eval.leakage import held_out_prompts
from eval.masks.measure import check_have_masks
from eval.masks.overlap import overlap, score
from eval.networks.classifiers import cached
from eval.networks.regimes import Regime, Training, hold_out, regimes, trainings
from eval.networks.segmenters import segmenter_key, train, with_masks
from eval.report.section import Part
from eval.segmentation.display import MEAN, definition, entry, plots, summary, tables
from eval.sets import ImageSet, Sets
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import Floats, NotMeasured
from roentgen.metrics.paired_scores import Gain, Score, difference, gain, mean_of


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which segmenters are trained on what, and which cannot be."""

    train: ImageSet
    """The real films that are trained on."""
    wanted: list[Regime]
    trainings: list[Training]
    not_measured: dict[Regime, NotMeasured]


def check_segmentation(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for a set without the masks, or with masks of held-out patients."""
    made = sets.synthetic[sets.main]
    check_have_masks(section(config).structures, sets.train, sets.test, made)
    leaked = sorted(held_out_prompts(made, sets.test))
    if leaked:
        raise InputError(
            f"synthetic.{made.name} was drawn from masks of {len(leaked)} patients that are held "
            f"out here ({', '.join(leaked[:5])}{', ...' if len(leaked) > 5 else ''}): segmenters "
            "must not train on them; draw it from the train split's masks, or set "
            "segmentation=null"
        )


def plan(config: EvaluateConfig, sets: Sets) -> Plan:
    """All segmenters of this evaluation, whatever is trained already."""
    told = section(config)
    wanted = regimes(("mixed",), (1.0,), told.multiples)
    if told.synthetic_alone:
        wanted.append(Regime(kind="synthetic"))
    kept, _ = hold_out(sets.train.patients, told.fraction, config.seed)
    train = with_masks(sets.train.take(kept), told.structures)
    made = len(sets.synthetic[sets.main])
    every, not_measured = trainings(wanted, told.seeds, train.patients, made)
    return Plan(train=train, wanted=wanted, trainings=every, not_measured=not_measured)


def fill_segmentation(config: EvaluateConfig, sets: Sets) -> None:
    """Train this process's share of the segmenters, unless they were."""
    launch = this_launch()
    planned = plan(config, sets)
    mine = planned.trainings[launch.process_index :: launch.num_processes]
    for each in tqdm(mine, desc="train", unit="segmenter", disable=not launch.is_main_process):
        _found(config, sets, planned, each)


def measure_segmentation(config: EvaluateConfig, sets: Sets) -> Part:
    """The same segmenter trained in each regime, judged on held-out real films."""
    planned, told = plan(config, sets), section(config)
    weights = resamples(sets.test.patients, config.bootstrap, config.seed)
    scores: dict[Regime, dict[str, Score]] = {}
    strays: dict[Regime, dict[str, Score]] = {}
    for regime in planned.wanted:
        if regime not in planned.not_measured:
            mine = [t for t in planned.trainings if t.regime == regime]
            found = [_found(config, sets, planned, each) for each in mine]
            scores[regime], strays[regime] = (
                {
                    name: score([each[what][:, k] for each in found], weights, config.min_cases)
                    for k, name in enumerate(told.structures)
                }
                for what in (0, 1)
            )
    trained = {
        regime.name: entry(
            scores[regime],
            strays[regime],
            [t for t in planned.trainings if t.regime == regime],
        )
        if regime in scores
        else {"note": planned.not_measured[regime].note}
        for regime in planned.wanted
    }
    change = _gains(scores)
    made = sets.synthetic[sets.main]
    return Part(
        name="segmentation",
        title="Segmentation: does training a segmenter on it help?",
        definition=definition(
            config,
            len(planned.train),
            len(with_masks(sets.test, told.structures)),
            made.name,
        ),
        numbers={"set": made.name, "trained": trained, "gains": change},
        summary=summary(made.name, change),
        tables=tables(trained, change, told),
        plots=plots(trained),
    )


def _found(config: EvaluateConfig, sets: Sets, planned: Plan, training: Training) -> list[Floats]:
    """Dice and strays (N, structures) of what a segmenter finds in the held-out films."""
    structures = section(config).structures
    made = sets.synthetic[sets.main].take(training.synthetic)
    together = [s for s in (planned.train.take(training.real), made) if len(s)]
    key = segmenter_key(config, structures, training.seed, *together)
    file = f"segmentation-{fingerprint_of([key, sets.test.key])}.safetensors"

    def find() -> list[Floats]:
        segmenter = train(config, structures, training.seed, *together)
        found = overlap(sets.test, segmenter, config.seed)
        return [found.dice, found.strays]

    return cached(config.caches_folder / file, 2, find)


def _gains(scores: dict[Regime, dict[str, Score]]) -> dict[str, dict[str, Gain]]:
    """By regime: the gain in Dice over real films alone, of the mean and of each structure.

    Bonferroni's corrections: a mean is tested once a regime, a structure once a regime and
    structure.
    """
    base, *others = scores
    result = {}
    for regime in others:
        changes = {
            name: difference(scores[regime][name], scores[base][name]) for name in scores[base]
        }
        mean, note = mean_of(list(changes.values()), "structures")
        result[regime.name] = {
            MEAN: gain(mean, len(others), note),
            **{name: gain(each, len(others) * len(changes)) for name, each in changes.items()},
        }
    return result


def section(config: EvaluateConfig) -> SegmentationConfig:
    """The settings of this part, which is asked for."""
    assert config.segmentation is not None
    return config.segmentation
