"""Numbers of an evaluation in a card: a table for readers, and the hub's model-index."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roentgen.cards.markdown import plain, table
from roentgen.errors import InputError
from roentgen.manifest import read_manifest, verify_files
from roentgen.untrusted_files import read_json

RESULTS = "results.json"


@dataclass(frozen=True)
class PublishedEvaluation:
    """Results of `eval.evaluate`, and the set in them that is of what is published."""

    results: Mapping[str, Any]
    name: str

    @classmethod
    def read(cls, path: Path, manifest: Mapping[str, Any]) -> "PublishedEvaluation":
        """The results at a path, of the model or set with this manifest.

        Raises InputError if they are damaged, or are those of another.
        """
        folder = path.parent if path.name == RESULTS else path
        read_manifest(folder, "results")
        verify_files(folder, "results")
        results = read_json(folder / RESULTS) if (folder / RESULTS).exists() else {}
        if "summary" not in results:
            raise InputError(f"{folder} has no summary of eval.evaluate: evaluate again")
        fingerprint, kind = manifest["fingerprint"], manifest["kind"]
        sets = {name: results["sets"][name] for name in results["synthetic"]}
        ordered = sorted(sets, key=lambda name: name != results["main"])
        for name in ordered:
            found = sets[name]["models"] if kind == "model" else [sets[name]["fingerprint"]]
            if found == [fingerprint]:
                return cls(results, name)
        what = "images of this model alone" if kind == "model" else f"this {kind}"
        raise InputError(
            f"evaluation {folder} has no set that is {what} (fingerprint {fingerprint}): give the "
            "results of one that has"
        )

    def lines(self) -> list[str]:
        """The section of the card."""
        own, test = self.results["sets"][self.name], self.results["sets"]["test"]
        sources = ", ".join(dict.fromkeys(source["source"] for source in test["sources"]))
        sampled = f" ({'; '.join(own['sampling'])})" if own["sampling"] else ""
        rows = [
            (line["measure"], *(_text(line, name) for name in (self.name, "real")))
            for line in self.results["summary"]
            if self.name in line["values"]
        ]
        return [
            plain(
                f"{own['n']} images{sampled} against {test['n']} held-out {test['kind']} "
                f"radiographs of {test['patients']} patients ({sources}), by `eval.evaluate` of "
                "Roentgen; in parentheses 95% intervals. The last column has what other "
                "radiographs reach in the same measure."
            ).replace("&#96;", "`"),
            "",
            *table(("Measure", "This", "Radiographs"), rows),
        ]

    def model_index(self, model: str) -> list[dict[str, Any]]:
        """The numbers as the hub's metadata."""
        from huggingface_hub import EvalResult
        from huggingface_hub.repocard_data import eval_results_to_model_index

        test = self.results["sets"]["test"]
        name = f"{Path(test['folder']).name}, held-out {test['kind']} radiographs"
        found = [
            EvalResult(
                task_type="text-to-image",
                dataset_type=_slug(Path(test["folder"]).name),
                dataset_name=name,
                dataset_split=test["split"],
                metric_type=_metric(line["measure"]),
                metric_name=line["measure"],
                metric_value=value,
            )
            for line in self.results["summary"]
            if (value := line["values"].get(self.name, {}).get("value")) is not None
        ]
        index: list[dict[str, Any]] = eval_results_to_model_index(model, found) if found else []
        return index


def _text(line: Mapping[str, Any], name: str) -> str:
    return str(line["values"].get(name, {}).get("text", ""))


def _metric(measure: str) -> str:
    """The hub's name of a measure, whose own name says on which features it is."""
    first = measure.split()[0]
    return _slug(first if first in ("FID", "KID", "CMMD") else measure)


def _slug(name: str) -> str:
    """A name as the hub's identifiers are written."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
