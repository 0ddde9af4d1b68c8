"""Agreement of generated images with their prompts, by a classifier trained on real radiographs."""

from collections.abc import Sequence

from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.metrics.classification.finding_scores import finding_scores, resamples
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Estimate
from roentgen.record.radiograph import FindingName, Radiograph
from roentgen.vision.classifier import Prediction
from roentgen.vision.view_accuracy import view_accuracy

_CASES = 10  # least number of images with and without a finding to measure its AUROC


def prompt_agreement(
    prediction: Prediction,
    requested: Sequence[Radiograph],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    samples: int,
    seed: int,
) -> tuple[Estimate, Estimate]:
    """The view accuracy, and the mean AUROC of requested findings.

    Findings with fewer than 10 images with or without them are excluded from the mean.
    """
    _, mean_auroc = finding_scores(
        weighted_auroc,
        prediction.findings,
        label_matrix(requested, findings),
        resamples(patients, samples, seed),
        findings,
        {},
        _CASES,
    )
    return view_accuracy(prediction.views, view_indices(requested)), mean_auroc
