"""Program: prepare a corpus into a radiograph dataset.

`python -m roentgen.prepare configs/data/open_radiographs.yaml [--key=value ...]`

A killed run resumes when it is started again in the same way. `accelerate launch` and `torchrun`
share one preparation among processes and machines that see the same output folder.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from typing import Any

import numpy as np

from roentgen.config import load_config
from roentgen.corpora.reader import CorpusPlan, CorpusReader, Exclusion, Unmapped
from roentgen.dataset.card import length_line
from roentgen.dataset.dataset import EXCLUDED, open_dataset
from roentgen.dataset.finalize import SPLITS, age_summary, count_all
from roentgen.dataset.shards import RadiographCounts
from roentgen.distributed import Launch, this_launch
from roentgen.errors import InputError, run_program
from roentgen.graphs.graph_index import index_graphs
from roentgen.imaging.contact_sheet import CONTACT_SHEET
from roentgen.manifest import is_made, provenance
from roentgen.preparation.assemble import (
    UNMAPPED,
    AssembledParts,
    assemble_parts,
    by_count,
    check_identities,
    describe_lengths,
    light_lines,
    write_dataset,
)
from roentgen.preparation.bad_items import BadItems
from roentgen.preparation.config import PrepareConfig, make_reader
from roentgen.preparation.part_maker import PartMaker, by_split, count_parts, fingerprint_of_plan
from roentgen.preparation.part_record import (
    PART_ITEMS,
    PreparationFolder,
    drop_bad,
    preparation_folder,
)
from roentgen.preparation.postprocess import Postprocessing
from roentgen.preparation.report_reading import language_line
from roentgen.preparation.workers import make_parts
from roentgen.storage import MANIFEST, check_free_space, check_output
from roentgen.terminal.progress import Progress

__all__ = ["PrepareConfig", "make_reader", "prepare"]

_ON_SHEET = 40
# Settings that do not change the content of a dataset: a run may resume with other values.
_FREE = ("output", "overwrite", "workers", "max_bad_share", "disjoint_from", "same_splits_as")


def prepare(config: PrepareConfig) -> str:
    """Write the dataset; returns a summary for the user, "" in all processes but the first.

    Raises InputError for bad input, KeyboardInterrupt naming the finished parts if interrupted.
    """
    for folder in (*config.disjoint_from, *config.same_splits_as):
        open_dataset(folder)
    launch = this_launch()
    work = preparation_folder(config.output, launch.process_index)
    try:
        with work.lock() if launch.is_main_process else nullcontext():
            return _prepare(config, work, launch)
    except KeyboardInterrupt:
        stay = f"{len(work.finished())} finished parts remain, and the same command resumes"
        raise KeyboardInterrupt(f"interrupted: {stay}") from None


def _prepare(config: PrepareConfig, work: PreparationFolder, launch: Launch) -> str:
    if launch.is_main_process:
        check_output(config.output, overwrite=config.overwrite)
    reader = make_reader(config)
    plan = plan_of(reader)
    limit = BadItems(config.max_bad_share, plan)
    limit.check()
    if not plan.items:
        why = limit.most_frequent() or "the corpus has no images, or the filters leave none"
        raise InputError(f"dataset {config.output.name!r} would be empty: {why}")
    corpus = fingerprint_of_plan(plan)
    origin = provenance("roentgen.prepare", config, {}) | {"corpus": corpus}
    identity = {
        **{key: value for key, value in origin["config"].items() if key not in _FREE},
        "versions": origin["versions"],
        "commit": origin["commit"],
        "corpus": corpus,
    }
    graphs = config.reports and config.reports.entities_from
    postprocess = Postprocessing(
        reports=config.reports,
        filter=config.filter,
        graphs=index_graphs(graphs) if graphs else None,
    )
    maker = PartMaker(work=work, reader=reader, postprocess=postprocess)
    if launch.is_main_process:
        _open(config, work, identity, plan, limit)
    launch.wait_for_everyone()
    if not launch.is_main_process:
        work.join(identity)
    _make_all(config, maker, plan, limit, launch)
    if not launch.is_main_process:
        if work.is_abandoned():
            raise InputError("the first process ended early: start all processes again to resume")
        return ""
    assembled = assemble_parts(work, plan, count_parts(len(plan.items)))
    _check_limit(work, BadItems(config.max_bad_share, plan), assembled.of_parts)
    checks = {"disjoint_from": config.disjoint_from, "same_splits_as": config.same_splits_as}
    write_dataset(
        work,
        assembled,
        patients=check_identities(assembled, work.dataset, checks),
        licenses=reader.licenses,
        provenance=origin,
        preparation={"size": config.size, "fit": config.fit},
    )
    work.install(work.dataset, overwrite=config.overwrite)
    return _summary(config, assembled)


def plan_of(reader: CorpusReader) -> CorpusPlan:
    """The items of a corpus by split, and its exclusions; no image is opened."""
    return by_split(CorpusPlan(*reader.plan()))


def _open(
    config: PrepareConfig,
    work: PreparationFolder,
    identity: Mapping[str, Any],
    plan: CorpusPlan,
    limit: BadItems,
) -> None:
    """Open the work folder; print what an earlier run left in it."""
    notes = work.open(identity)
    finished = work.finished()
    for number in finished:
        limit.add(work.read(number).excluded)
    if finished:
        parts = count_parts(len(plan.items))
        notes.append(
            f"resuming with {len(finished)} of {parts} parts that an earlier run finished "
            f"(to start over, remove {work.folder})"
        )
    # PNG takes less than a byte a pixel, and masks take little.
    items = max(0, len(plan.items) - len(finished) * PART_ITEMS)
    check_free_space(config.output, items * config.size**2)
    for note in notes:
        print(f"prepare: {note}", flush=True)  # noqa: T201


def _make_all(
    config: PrepareConfig, maker: PartMaker, plan: CorpusPlan, limit: BadItems, launch: Launch
) -> None:
    """Make the parts that are missing; the bar shows what all processes have done."""
    on_sheet = {
        int(i) for i in np.linspace(0, len(plan.items) - 1, min(len(plan.items), _ON_SHEET))
    }
    work, total = maker.work, len(plan.items)
    done = min(total, len(work.finished()) * PART_ITEMS)
    bar = Progress(total, "preparing", "item", done=done, shown=launch.is_main_process)
    parts = make_parts(
        maker,
        plan.items,
        frozenset(on_sheet),
        workers=config.workers or launch.cores(),
        rank=launch.process_index,
        ranks=launch.num_processes,
        report=lambda line: bar.write(f"prepare: {line}"),
    )
    with bar, closing(parts):
        for part in parts:
            _check_limit(work, limit, part.excluded)
            bar.update(min(total, len(work.finished()) * PART_ITEMS) - bar.n)


def _check_limit(work: PreparationFolder, limit: BadItems, excluded: Iterable[Exclusion]) -> None:
    limit.add(excluded)
    try:
        limit.check()
    except InputError:
        drop_bad(work)  # or the next run would not see that they are repaired
        raise


def _summary(config: PrepareConfig, assembled: AssembledParts) -> str:
    output, lines = config.output, []
    for split in SPLITS:
        if split not in assembled.shards:
            continue
        counts = count_all(assembled.shards[split])
        views = ", ".join(f"{view} {count}" for view, count in counts.views.most_common())
        found = [(name, n) for (name, state), n in counts.findings.items() if state == "present"]
        found.sort(key=lambda item: (-item[1], item[0]))
        findings = ", ".join(f"{name} {count}" for name, count in found) or "none"
        lines.append(f"{split}: {counts.rows} radiographs; views: {views}; present: {findings}")
        lines.append(f"  {_patients(counts)}")
    lines += map(length_line, describe_lengths(assembled.lengths).items())
    if config.reports and (line := language_line(assembled.languages, config.reports.language)):
        lines.append(line)
    lines.append("light:")
    lines += [f"  {line}" for line in light_lines(assembled.light)]
    reasons = assembled.reasons()
    lines.append(f"excluded: {reasons.total()} ({EXCLUDED})")
    lines += [f"  {count}: {reason}" for reason, count in reasons.most_common(10)]
    if assembled.unmapped:
        lines.append(f"values without a meaning, or missing, in accepted items ({UNMAPPED}):")
    shown: Counter[Unmapped] = Counter()
    for lost, count in assembled.unmapped.items():  # reports are listed by id
        shown[lost._replace(word="") if lost.field == "report" else lost] += count
    for (about, word, why), count in sorted(shown.items(), key=by_count)[:10]:
        lines.append(f"  {count}: {about} {word or '(none)'}: {why}")
    if assembled.on_sheet:
        lines.append(f"contact sheet: {output / CONTACT_SHEET}")
    lines.append(f"dataset: {output}")
    return "\n".join(lines)


def _patients(counts: RadiographCounts) -> str:
    """Sex, age and race of a split's radiographs, where known."""
    parts = []
    for name, values in (("sex", counts.sexes), ("race", counts.races)):
        listed = ", ".join(f"{value} {n}" for value, n in values.most_common())
        parts.append(f"{name}: {listed or 'not known'}")
    ages = age_summary(counts.ages)
    age = "age: not known"
    if ages:
        age = "age: known of {known}, {least:g} to {most:g} years, median {median:g}".format(**ages)
    return "; ".join([parts[0], age, parts[1]])


def main() -> None:
    """Prepare a corpus by the command line."""
    config = load_config(PrepareConfig)
    if (config.output / MANIFEST).exists() and not config.overwrite:
        corpus = fingerprint_of_plan(plan_of(make_reader(config)))
        if is_made("roentgen.prepare", config, config.output, corpus=corpus):
            return
    summary = prepare(config)
    if summary:
        print(summary)  # noqa: T201


if __name__ == "__main__":
    run_program(main)
