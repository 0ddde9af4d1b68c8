"""Prompts of a training on a corpus of which graphs state more than its labels."""

import json
from pathlib import Path

from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.preparation.config import PrepareConfig
from roentgen.preparation.filtered_split import filter_split
from roentgen.preparation.postprocess import ReportRules
from roentgen.preparation.prompt_sources import check_prompt_sources
from roentgen.prepare import prepare
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.finding import Finding
from tests.roentgen.corpora.mimic.test_mimic_cxr_jpg import OFFICIAL, tree
from tests.roentgen.preparation.test_graph_findings import EFFUSION, denied
from train.loading.split_prompts import SplitPrompts


def test_training_prompts_of_facts_are_what_graphs_state(tmp_path: Path) -> None:
    graphs = tmp_path / "MIMIC-CXR_graphs.json"
    content = {
        "p10/p10000032/s50414267.txt": denied("emphysema", "effusion", "edema"),
        "p10/p10000032/s53189527.txt": EFFUSION,
    }
    graphs.write_text(json.dumps(content))
    prepare(
        PrepareConfig(
            output=tmp_path / "set",
            size=8,
            workers=1,
            split=OFFICIAL,
            reports=ReportRules(entities_from=graphs),
            mimic_cxr_jpg=tree(tmp_path / "mimic"),
        )
    )
    dataset = open_dataset(tmp_path / "set")
    split = dataset.split("train")
    by_study = {row.study_id: row for row in split}
    assert by_study["50414267"].findings == (  # the corpus's own labels
        Finding(name="No Finding"),
        Finding(name="Support Devices"),
    )
    styles = [
        PromptStyle(text="facts", view_token=False),
        PromptStyle(text="entities", view_token=False),
    ]
    check_prompt_sources(dataset, split, styles)
    components = load_components("tiny")
    chosen = filter_split(split, None, len, styles)
    prompts = SplitPrompts(chosen, styles, components, "refuse")
    written = {components.tokenizer.decode(ids, skip_special_tokens=True) for ids in prompts.ids}
    assert {words.replace(" ,", ",") for words in written} == {
        "",  # where the prompt is withheld
        "no emphysema, no pleural effusion, no edema",
        "no acute findings, no edema, no pleural effusion",
        "small left pleural effusion, no pneumothorax",
    }
