import random
import string
import time

import pytest

from roentgen.labelers.rules.lexicon import lexicon
from roentgen.labelers.rules.rule_labeler import label_report
from roentgen.prompts.grammar import phrase
from roentgen.prompts.parser import parse_prompt
from roentgen.record.finding import Finding, states
from roentgen.record.radiograph import Report

SHORT = {
    "A": "Atelectasis",
    "C": "Cardiomegaly",
    "K": "Consolidation",
    "E": "Edema",
    "M": "Enlarged Cardiomediastinum",
    "F": "Fracture",
    "L": "Lung Lesion",
    "O": "Lung Opacity",
    "N": "No Finding",
    "P": "Pleural Effusion",
    "Q": "Pleural Other",
    "I": "Pneumonia",
    "X": "Pneumothorax",
    "D": "Support Devices",
}
SIGNS = {"present": "+", "absent": "-", "uncertain": "?"}


def message(text: str) -> str:
    """The states of the findings in a text, in short: "P+ X-"; No Finding only if nothing else."""
    found = states(label_report(Report(findings=text)))
    letters = {name: letter for letter, name in SHORT.items()}
    signs = {letters[name]: SIGNS[state] for name, state in found.items()}
    if len(signs) > 1:
        signs.pop("N", None)
    return " ".join(f"{letter}{sign}" for letter, sign in sorted(signs.items()))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        # mentions
        ("There is a pleural effusion.", "P+"),
        ("Cardiomegaly with edema and effusions.", "C+ E+ P+"),
        ("Congestive heart failure.", "E+"),
        ("Nodular opacity in the right base.", "L+ O+"),
        ("ET tube and nasogastric tube in place.", "D+"),
        ("Pericardial effusion. Right heart border.", ""),
        ("Old rib fractures.", "F+"),
        ("Hydropneumothorax.", "P+ X+"),
        # negation, and how far it reaches
        ("No focal consolidation, effusion or pneumothorax.", "K- P- X-"),
        ("No focal consolidation, pleural effusion, or pneumothorax is seen.", "K- P- X-"),
        ("No focal consolidation, large pleural effusion, or pneumothorax.", "K- P- X-"),
        ("There is no evidence of pneumonia.", "I-"),
        ("Lungs are free of focal airspace disease.", "O-"),
        ("Negative for pneumothorax or effusion.", "P- X-"),
        ("No pneumothorax, small left effusion.", "P+ X-"),
        ("No pneumothorax but small effusion.", "P+ X-"),
        ("No pneumothorax with moderate effusion.", "P+ X-"),
        ("Cardiomegaly without edema.", "C+ E-"),
        ("Effusion, no pneumothorax.", "P+ X-"),
        ("No pneumothorax, the heart is enlarged.", "C+ X-"),
        ("No consolidation to suggest pneumonia.", "I- K-"),
        ("No suspicious nodule.", "L-"),
        ("Neither effusion nor pneumothorax.", "P- X-"),
        ("No effusion. Pneumothorax.", "P- X+"),
        # negation behind
        ("Effusion is not seen.", "P-"),
        ("Pneumothorax is no longer seen.", "X-"),
        ("The effusion has resolved.", "P-"),
        ("Edema and effusion are not identified, cardiomegaly is present.", "C+ E- P-"),
        ("The chest tube has been removed.", "D-"),
        ("Nodule is not seen on the lateral view.", "L+"),
        # what looks like negation
        ("No change in effusion.", "P+"),
        ("No significant interval change in pneumothorax or effusion.", "P+ X+"),
        ("Opacity not significantly changed.", "O+"),
        ("No increase in effusion.", "P+"),
        # uncertainty
        ("Cannot exclude pneumonia.", "I?"),
        ("Pneumonia cannot be excluded.", "I?"),
        ("A small effusion is not entirely excluded.", "P?"),
        ("Opacity may represent pneumonia.", "I? O+"),
        ("Findings may be secondary to edema.", "E?"),
        ("Possible small effusion.", "P?"),
        ("Possible right lower lobe pneumonia.", "I?"),
        ("Opacity concerning for pneumonia or atelectasis.", "A? I? O+"),
        ("Atelectasis versus pneumonia.", "A? I? O+"),
        ("Atelectasis or infiltrate.", "A? O+"),
        ("Nodule or mass.", "L+"),
        ("Effusion is possible.", "P?"),
        ("Pneumonia is in the differential.", "I?"),
        ("Evaluate for pneumothorax.", "X?"),
        # structures and their adjectives
        ("The heart is enlarged.", "C+"),
        ("Heart size remains slightly large.", "C+"),
        ("The heart is not enlarged.", "C-"),
        ("Heart size is normal.", "C-"),
        ("Heart size and mediastinal contours are within normal limits.", "C- M-"),
        ("Normal heart size and mediastinal contours.", "C- M-"),
        ("The cardiomediastinal silhouette is unremarkable.", "C- M-"),
        ("Borderline heart size.", "C?"),
        ("Heart size is at the upper limits of normal.", "C?"),
        ("Heart size is stable.", ""),
        ("Widened mediastinum.", "M+"),
        ("The lungs are clear.", "O-"),
        ("The pleural spaces are clear.", "P-"),
        ("Pulmonary vascularity is engorged.", "E+"),
        ("Pulmonary vascularity is normal.", ""),
        ("Heart size and pulmonary vascular engorgement appear within limits of normal.", "C- E-"),
        ("Normal interstitial markings.", "O-"),
        # over a report: present, then uncertain, then absent
        ("Possible effusion. No large effusion. Small effusion.", "P+"),
        ("No effusion. Possible effusion.", "P?"),
        # nothing wrong
        ("No acute cardiopulmonary abnormality.", "N+"),
        ("Normal chest.", "N+"),
        ("", ""),
        ("Comparison is made with ___.", ""),
    ],
)
def test_what_sentences_say(text: str, labels: str) -> None:
    assert message(text) == labels


def test_no_finding_needs_more_than_one_denial_and_no_finding_but_devices() -> None:
    def quiet(text: str) -> bool:
        return any(f.name == "No Finding" for f in label_report(Report(impression=text)))

    assert quiet("Pacemaker. No acute cardiopulmonary process.")
    assert quiet("No pneumothorax or effusion.")
    assert quiet("The lungs are clear.")
    assert quiet("Normal chest.")
    assert not quiet("No pneumothorax.")
    assert not quiet("The chest tube has been removed.")
    assert not quiet("The tip of the line is not seen. No catheter.")
    assert not quiet("Possible effusion. No pneumothorax.")
    assert not quiet("Cardiomegaly, no acute findings.")
    assert not quiet("Pacemaker.")


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("Small left pleural effusion.", "small left pleural effusion"),
        ("Effusion on the right.", "right pleural effusion"),
        ("Small bilateral effusions.", "small bilateral pleural effusion"),
        ("Effusions, right greater than left.", "bilateral pleural effusion"),
        ("Mild cardiomegaly.", "mild cardiomegaly"),
        ("The heart is moderately enlarged.", "moderate cardiomegaly"),
        ("Severe edema.", "severe edema"),
        ("Right lower lobe consolidation.", "right lower lobe consolidation"),
        ("Bibasilar atelectasis.", "bilateral basal atelectasis"),
        ("Atelectasis in the left base.", "left basal atelectasis"),
        ("Left apical pneumothorax and right effusion.", ("right pleural effusion", "left apical")),
        ("Nodule in the right upper lobe.", "right upper lobe nodule"),
        ("Endotracheal tube. Left chest tube.", ("endotracheal tube", "left chest tube")),
        ("Left effusion. Right effusion.", "bilateral pleural effusion"),
        ("Moderate effusion, mildly increased. Large effusion.", "large pleural effusion"),
        ("Left upper lobe and right lower lobe opacities.", "bilateral lung opacity"),
        ("No large left effusion.", "no pleural effusion"),
        ("Left rib fracture.", "left rib fracture"),
    ],
)
def test_side_severity_and_place(text: str, findings: str | tuple[str, ...]) -> None:
    phrases = [phrase(f) for f in label_report(Report(findings=text)) if f.name != "No Finding"]
    if isinstance(findings, str):
        assert phrases == [findings]
    else:
        assert all(any(wanted in one for one in phrases) for wanted in findings), phrases


def test_both_sections_count_and_the_last_paragraph_only_without_them() -> None:
    both = Report(findings="Effusion.", impression="Pneumothorax.", last_paragraph="Edema.")
    assert {f.name for f in label_report(both)} == {"Pleural Effusion", "Pneumothorax"}
    assert label_report(Report(last_paragraph="Edema.")) == (Finding(name="Edema"),)
    history = Report(indication="Pneumonia?", comparison="Chest with effusion.")
    assert label_report(history) == label_report(Report()) == ()


def test_line_breaks_case_and_hyphens_do_not_matter() -> None:
    plain = label_report(Report(findings="No left sided pleural effusion. Right sided effusion."))
    assert label_report(Report(findings="NO LEFT-SIDED PLEURAL\n EFFUSION. Right-sided\neffusion."))
    assert plain == (Finding(name="Pleural Effusion", side="right"),)


def test_labels_can_be_written_as_a_prompt_and_read_back() -> None:
    generator = random.Random(0)
    phrases = sorted(lexicon("en").phrases())
    for _ in range(300):
        words = generator.choices(phrases, k=6)
        text = " ".join(" ".join(phrase) for phrase in words)
        for finding in label_report(Report(findings=text)):
            assert parse_prompt(phrase(finding)).findings == (finding,)


def test_no_text_stops_or_breaks_it() -> None:
    generator = random.Random(1)
    phrases = [" ".join(words) for words in sorted(lexicon("en").phrases())]
    letters = string.printable + "é°µ—\u2028\x00ß\U0001f600"
    started = time.process_time()
    for i in range(400):
        if i % 2:
            text = "".join(generator.choices(letters, k=generator.randrange(400)))
        else:
            text = generator.choice([" ", ", ", ". ", "/"]).join(generator.choices(phrases, k=40))
            cut = generator.randrange(len(text))
            text = text[:cut] + generator.choice(letters) + text[cut + generator.randrange(3) :]
        label_report(Report(findings=text))
    assert time.process_time() - started < 30


@pytest.mark.parametrize(
    "piece",
    [
        *("no ", "effusion ", "no effusion, ", "a" * 50, "heart size ", "large ", ", ", "not "),
        *("1. ", "or ", "(", "no significant interval ", "\n", "...", "normal heart "),
    ],
)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        started = time.process_time()
        label_report(Report(findings=text))
        return time.process_time() - started

    seconds(2000)
    assert seconds(50_000) < 2
