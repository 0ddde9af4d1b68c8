"""Citation of an evaluation: a paragraph, the definitions of its numbers, references, BibTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.section import HELD_OUT, PageSection, cell_text, measured_keys


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Text to paste, and the definitions that must be published with the numbers."""

    paragraph: str
    definitions: dict[str, tuple[str, ...]]  # heading -> sentences
    methods: tuple[str, ...]
    bibtex: str


def citation(results: Mapping[str, Any], sections: Sequence[PageSection]) -> Citation:
    """How to cite these results."""
    origin = results["provenance"]
    version = origin["versions"]["roentgen-cxr"]
    commit = origin["commit"] or "unknown"
    train, test = results["sets"]["train"], results["sets"]["test"]
    code = f"Roentgen {version} (commit {commit})"
    others = {k: v for k, v in origin["versions"].items() if k != "roentgen-cxr"}
    libraries = ", ".join(f"{name} {number}" for name, number in others.items())
    sets = [_set_text(name, results["sets"][name]) for name in results["synthetic"]]
    paragraph = [
        f"Synthetic radiographs ({'; '.join(sets)}) were evaluated with {code}, seed "
        f"{results['seed']}, against {test['n']} held-out {test['kind']} radiographs of "
        f"{test['patients']} patients (dataset {test['fingerprint']}, split {test['split']}); "
        f"networks were trained on {train['n']} radiographs of {train['patients']} other patients "
        f"(split {train['split']}). Parentheses: 95% intervals."
    ]
    paragraph += [sentence for section in sections for sentence in _summary(section)]
    definitions = {
        "Code": (f"{code}, {origin['program']}; libraries {libraries}.",),
        "Sets": tuple(f"{name}: {_set_text(s['split'], s)}" for name, s in results["sets"].items()),
        "Seeds": (_seeds(origin["config"]),),
        **{section.title: section.methods for section in sections},
    }
    bibtex = (
        "@software{roentgen,\n"
        "  title = {Roentgen: chest-X-ray image synthesis, from corpus to evaluation},\n"
        "  author = {{The Roentgen authors}},\n"
        f"  version = {{{version}}},\n"
        f"  note = {{commit {commit}}},\n"
        "  license = {Apache-2.0}\n"
        "}"
    )
    methods = [source for section in sections for source in _used(section)]
    return Citation(
        paragraph=" ".join(paragraph),
        definitions=definitions,
        methods=tuple(dict.fromkeys(methods)),
        bibtex=bibtex,
    )


def _set_text(name: str, described: Mapping[str, Any]) -> str:
    models = described["models"]
    model = f", model {', '.join(models)}" if models else ""
    return f"{name}: {described['n']} images, dataset {described['fingerprint']}{model}"


def _seeds(config: Mapping[str, Any]) -> str:
    """The evaluation's seed, and the domains' own."""
    own = {
        name: settings[key]
        for name, settings in config.items()
        if isinstance(settings, dict)
        for key in ("seed", "seeds")
        if key in settings
    }
    named = [f"{name} {value}" for name, value in own.items()]
    return f"{config['seed']} of subsets, resamples and pictures; {', '.join(named)}".rstrip("; ")


def _used(section: PageSection) -> list[str]:
    """The sources of what was measured."""
    measured = measured_keys(section.numbers)
    return [source for source, key in section.references.items() if key in measured]


def _summary(section: PageSection) -> list[str]:
    """A sentence for each line of a section's summary that has a number."""
    sentences = []
    for line in section.summary:
        estimates = {**line.sets} if line.real is None else {**line.sets, HELD_OUT: line.real}
        values = [
            f"{name} {cell_text(e)}, n = {e.n}"
            for name, e in estimates.items()
            if e.value is not None
        ]
        if values:
            sentences.append(f"{line.measure}: {'; '.join(values)}.")
    return sentences
