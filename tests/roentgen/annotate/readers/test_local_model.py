"""A local language model: its probabilities against whole prompts, batches, tokens, bad models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from roentgen.annotate.readers.choices import ChoiceQuestion
from roentgen.annotate.readers.config import LocalModelConfig
from roentgen.annotate.readers.language_model import open_reader
from roentgen.annotate.readers.local_model import LocalModel
from tests.roentgen.annotate.tiny_llama import save_tiny_llama

REPORT = "Small left pleural effusion. The heart is mildly enlarged.\nNo pneumothorax."
QUESTIONS = [
    ChoiceQuestion("Is there a pleural effusion?", ("yes", "no")),
    ChoiceQuestion("How severe is the cardiomegaly?", ("mild", "mild to moderate", "severe", "s")),
    ChoiceQuestion("Where?", ("left", "left lower lobe", "right", "not mentioned", "氣胸")),
    ChoiceQuestion("Is a pneumothorax (or pneumomediastinum) mentioned at all?", ("no", "none")),
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


def reader_of(path: Path, **settings: Any) -> LocalModel:
    settings = {"dtype": "float32", "device": "cpu", **settings}
    reader = open_reader(LocalModelConfig(path=path, **settings))
    assert isinstance(reader, LocalModel)
    return reader


def answers_of(reader: LocalModel, report: str = REPORT) -> list[tuple[float, ...]]:
    with reader.open(report) as interview:
        return [answer.probabilities for answer in interview.ask(QUESTIONS)]


def expected(folder: Path, report: str, question: ChoiceQuestion) -> list[float]:
    """The probabilities of choices, each from the whole text in one forward pass."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    content = f"This is the report of a chest radiograph:\n\n{report}\n\n{question.text}\n"
    content += f"Answer with one of these and nothing else: {', '.join(question.choices)}"
    prompt = f"<|begin|>user:\n{content}<|end|>\nassistant:\n"
    before = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    begins = [any(b != a and b.startswith(a) for b in question.choices) for a in question.choices]
    scores = []
    for choice in question.choices:
        text = f"{prompt}{choice}{'<|end|>' if any(begins) else ''}"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        assert ids[0, : before.shape[1]].tolist() == before[0].tolist()
        with torch.no_grad():
            logits = model(ids).logits[0].double().log_softmax(-1)
        following = range(before.shape[1], ids.shape[1])
        scores.append(sum(logits[i - 1, ids[0, i]].item() for i in following))
    return torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_probabilities_are_those_of_whole_prompts(llama: Path, batch_size: int) -> None:
    found = answers_of(reader_of(llama, batch_size=batch_size))
    for probabilities, question in zip(found, QUESTIONS, strict=True):
        assert sum(probabilities) == pytest.approx(1)
        assert probabilities == pytest.approx(expected(llama, REPORT, question), abs=1e-4)
