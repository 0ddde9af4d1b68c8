"""How to cite an evaluation: a paragraph to paste, all that defines its numbers, and BibTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.formatting import told
from eval.report.section import Part

METHODS = {  # of each part, as a reference list has them
    "fidelity": (
        "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash "
        "equilibrium, NeurIPS 2017 (FID).",
        "Chong and Forsyth, Effectively unbiased FID and Inception score, CVPR 2020 (FID "
        "extrapolated in n).",
        "Bińkowski et al., Demystifying MMD GANs, ICLR 2018 (KID).",
        "Kynkäänniemi et al., Improved precision and recall metric for assessing generative "
        "models, NeurIPS 2019.",
        "Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML 2020 "
        "(density and coverage).",
        "Jayasumana et al., Rethinking FID: towards a better evaluation metric for image "
        "generation, CVPR 2024 (CMMD).",
    ),
    "diversity": (
        "Wang et al., Multiscale structural similarity for image quality assessment, Asilomar "
        "2003 (MS-SSIM).",
        "Friedman and Dieng, The Vendi score, TMLR 2023.",
        "Chambon et al., RoentGen, arXiv:2211.12737, 2022 (pairs within a prompt).",
    ),
    "alignment": (
        "Radford et al., Learning transferable visual models from natural language supervision, "
        "ICML 2021 (CLIP).",
        "Zhang et al., BiomedCLIP, arXiv:2303.00915, 2023.",
        "Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927 "
        "(intervals of shares).",
    ),
    "utility": (
        "Seyyed-Kalantari et al., Underdiagnosis bias of artificial intelligence algorithms "
        "applied to chest radiographs in under-served patient populations, Nature Medicine 2021.",
        "Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015 "
        "(expected calibration error).",
    ),
    "text_encoder": (
        "Chambon et al., RoentGen, arXiv:2211.12737, 2022 (what the text encoder knows).",
    ),
    "privacy": (
        "Newcombe, Interval estimation for the difference between independent proportions, "
        "Statistics in Medicine 1998 (excess of copies).",
        "Vovk et al., Algorithmic learning in a random world, 2005 (threshold of a copy).",
        "Carlini et al., Membership inference attacks from first principles, IEEE S&P 2022.",
        "Carlini et al., Extracting training data from diffusion models, USENIX Security 2023.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Citation:
    """What to paste, and what must stand somewhere for the numbers to mean anything."""

    paragraph: str
    definitions: dict[str, tuple[str, ...]]  # heading -> sentences
    methods: tuple[str, ...]
    bibtex: str


def citation(results: Mapping[str, Any], parts: Sequence[Part]) -> Citation:
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
    methods = [source for part in parts for source in METHODS.get(part.name, ())]
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


def _summary(part: Part) -> list[str]:
    """A sentence for each line of a part's summary."""
    sentences = []
    for line in part.summary:
        values = [f"{name} {told(e)}, n = {e.n}" for name, e in line.sets.items()]
        if line.real is not None:
            values.append(f"real films {told(line.real)}, n = {line.real.n}")
        sentences.append(f"{line.measure}: {'; '.join(values)}.")
    return sentences
