"""The words in which a report and a question are put before a language model."""

from roentgen.annotate.readers.choices import ChoiceQuestion

TRIAL_REPORT = "Small left pleural effusion. No pneumothorax."  # by which readers are tried out


def user_message(report: str, question: ChoiceQuestion) -> str:
    """The message of the user's turn: first what all questions of a report share."""
    return f"{_report_part(report)}{question.text}\n{_choices_part(question)}"


def plain_prompt(report: str, question: ChoiceQuestion) -> str:
    """The text that a model without a chat template completes with " " and a choice."""
    return f"{_report_part(report)}Question: {question.text}\n{_choices_part(question)}\nAnswer:"


def _report_part(report: str) -> str:
    return f"This is the report of a chest radiograph:\n\n{report}\n\n"


def _choices_part(question: ChoiceQuestion) -> str:
    return f"Answer with one of these and nothing else: {', '.join(question.choices)}"
