"""How to cite an evaluation: a paragraph to paste, all that defines its numbers, and BibTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.formatting import cell_text
from eval.report.section import PageSection


@dataclass(frozen=True, kw_only=True)
class Citation:
    """What to paste, and what must stand somewhere for the numbers to mean anything."""

    paragraph: str
    definitions: dict[str, tuple[str, ...]]  # heading -> sentences
    methods: tuple[str, ...]
    bibtex: str


def citation(results: Mapping[str, Any], parts: Sequence[PageSection]) -> Citation:
    """How to cite these results."""
    made = results["provenance"]
    version = made["versions"]["roentgen-cxr"]
    commit = made["commit"] or "not known"
    train, test = results["sets"]["train"], results["sets"]["test"]
    code = f"Roentgen {version} (commit {commit})"
    sets = [_set_in_words(name, results["sets"][name]) for name in results["synthetic"]]
    paragraph = [
        f"Synthetic radiographs ({'; '.join(sets)}) were evaluated with {code}, seed "
        f"{results['seed']}, against {test['n']} held-out real films of {test['patients']} "
        f"patients (dataset {test['fingerprint']}, split {test['split']}); what had to be learnt "
        f"was learnt on {train['n']} films of {train['patients']} other patients (split "
        f"{train['split']}). Parentheses hold 95 % intervals."
    ]
    paragraph += [sentence for part in parts for sentence in _summary(part)]
    definitions = {
        "Code": (
            f"{code}, {made['program']}; libraries "
            f"{', '.join(f'{k} {v}' for k, v in made['versions'].items() if k != 'roentgen-cxr')}.",
        ),
        "Sets": tuple(
            f"{name}: {_set_in_words(s['split'], s)}" for name, s in results["sets"].items()
        ),
        "Seeds": (_seeds(made["config"]),),
        **{part.title: part.definition for part in parts},
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
    methods = [source for part in parts for source in part.references]
    return Citation(
        paragraph=" ".join(paragraph),
        definitions=definitions,
        methods=tuple(dict.fromkeys(methods)),
        bibtex=bibtex,
    )


def _set_in_words(name: str, described: Mapping[str, Any]) -> str:
    models = described["models"]
    model = f", model {', '.join(models)}" if models else ""
    return f"{name}: {described['n']} images, dataset {described['fingerprint']}{model}"


def _seeds(config: Mapping[str, Any]) -> str:
    """The evaluation's seed, and those that parts have of their own."""
    own = {
        name: section[key]
        for name, section in config.items()
        if isinstance(section, dict)
        for key in ("seed", "seeds")
        if key in section
    }
    named = [f"{name} {value}" for name, value in own.items()]
    return f"{config['seed']} of subsets, resamples and pictures; {', '.join(named)}".rstrip("; ")


def _summary(part: PageSection) -> list[str]:
    """A sentence for each line of a part's summary."""
    sentences = []
    for line in part.summary:
        values = [f"{name} {cell_text(e)}, n = {e.n}" for name, e in line.sets.items()]
        if line.real is not None:
            values.append(f"real films {cell_text(line.real)}, n = {line.real.n}")
        sentences.append(f"{line.measure}: {'; '.join(values)}.")
    return sentences
