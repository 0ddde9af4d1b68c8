"""All of MIMIC-CXR-JPG is scanned, filtered and planned in minutes and in little memory."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

IMAGES = 377_110
PATIENTS = 65_379
SECONDS, BYTES = 120, 2e9
_LINKS = 30_000  # of one file; file systems allow 32,000 or 65,000
_VIEWS = ["PA"] * 96 + ["AP"] * 147 + ["LATERAL"] * 83 + ["LL"] * 35 + [""] * 15 + ["LAO"]
_LABELS = [
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion"),
    *("Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
]
_CHILD = """
import json, pickle, resource, sys, time
from collections import Counter
from pathlib import Path
from typing import TextIO, cast
from roentgen.corpora.mimic.mimic_cxr_jpg import MimicCxrJpgConfig, MimicCxrJpgReader
from roentgen.preparation.part_maker import by_split, fingerprint_of_plan
from roentgen.record.splits import SplitRules
root = Path(sys.argv[1])
config = MimicCxrJpgConfig(
    root=root, reports=root / "mimic-cxr-reports.zip", patients=root / "patients.csv.gz",
    admissions=root / "admissions.csv.gz",
)
reader = MimicCxrJpgReader(config, SplitRules(published="official"), 512, "pad", 0)
started, busy = time.perf_counter(), time.process_time()
plan = by_split(reader.plan())
fingerprint = fingerprint_of_plan(plan)
print(json.dumps({
    "seconds": time.perf_counter() - started,
    "processor": time.process_time() - busy,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "items": len(plan.items),
    "fingerprint": fingerprint,
    "reader": len(pickle.dumps(reader)),
    "reasons": Counter(item.reason for item in plan.excluded),
}))
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """(subject, study, image) in the order of the published table."""
    draw = random.Random(0)
    study, last = 50_000_000, 0
    for number in range(IMAGES):
        subject = 10_000_000 + (number * PATIENTS // IMAGES) * (10_000_000 // PATIENTS)
        study += subject != last or draw.random() < 0.5
        last = subject
        image = f"{number:08x}-" + "-".join(f"{draw.getrandbits(32):08x}" for _ in range(4))
        yield str(subject), str(study), image


def write_tables(root: Path) -> None:
    """The tables of MIMIC-CXR-JPG and MIMIC-IV, and the reports' zip."""
    draw = random.Random(1)
    seen: set[str] = set()
    with (
        _table(root, "mimic-cxr-2.0.0-metadata") as metadata,
        _table(root, "mimic-cxr-2.0.0-split") as split,
        _table(root, "mimic-cxr-2.0.0-chexpert") as labels,
        _table(root, "patients") as patients,
        _table(root, "admissions") as admissions,
        zipfile.ZipFile(root / "mimic-cxr-reports.zip", "w") as reports,
    ):
        metadata.write("dicom_id,subject_id,study_id,ViewPosition,Rows,Columns,StudyDate\n")
        split.write("dicom_id,study_id,subject_id,split\n")
        csv.writer(labels).writerow(["subject_id", "study_id", *_LABELS])
        patients.write("subject_id,gender,anchor_age,anchor_year\n")
        admissions.write("subject_id,hadm_id,race\n")
        for subject, study, image in rows():
            date = f"2{draw.randrange(100, 200)}0101"
            view = draw.choice(_VIEWS)
            metadata.write(f"{image},{subject},{study},{view},3056,2544,{date}\n")
            split.write(f"{image},{study},{subject},{'test' if subject[1] == '9' else 'train'}\n")
            if study not in seen:
                seen.add(study)
                cells = draw.choices(("", "", "", "1.0", "0.0", "-1.0"), k=14)
                cells[8] = ""
                csv.writer(labels).writerow([subject, study, *cells])
                name = f"files/p{subject[:2]}/p{subject}/s{study}.txt"
                reports.writestr(zipfile.ZipInfo(name), b" FINAL REPORT\n")
            if subject not in seen:
                seen.add(subject)
                patients.write(f"{subject},F,60,2150\n")
                admissions.write(f"{subject},1,WHITE\n{subject},2,UNKNOWN\n")


def _table(root: Path, name: str) -> TextIO:
    return cast("TextIO", gzip.open(root / f"{name}.csv.gz", "wt", compresslevel=1))


def write_images(root: Path) -> None:
    """A folder a study, its images hard links of a few stand-ins."""
    last: Path | None = None
    for number, (subject, study, image) in enumerate(rows()):
        if number % _LINKS == 0:
            stand_in = root / f"stand-in-{number}"
            stand_in.write_bytes(b"stand-in")
        folder = root / f"files/p{subject[:2]}/p{subject}/s{study}"
        if folder != last:
            folder.mkdir(parents=True, exist_ok=True)
            last = folder
        (folder / f"{image}.jpg").hardlink_to(stand_in)


@pytest.mark.slow
def test_all_of_mimic_is_planned_in_two_minutes_and_two_gigabytes(tmp_path: Path) -> None:
    write_tables(tmp_path)
    write_images(tmp_path)
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    fingerprints = set()
    for seed in ("1", "2"):  # of the order of sets
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        measured = json.loads(run.stdout)
        print(measured)
        reasons = measured["reasons"]
        assert set(reasons) == {"view not given", "view 'LAO' is excluded by name"}
        assert measured["items"] == IMAGES - sum(reasons.values())
        assert measured["seconds"] < SECONDS
        assert measured["bytes"] < BYTES
        assert measured["reader"] < 10_000  # bytes that go to each worker
        fingerprints.add(measured["fingerprint"])
    assert len(fingerprints) == 1  # or a killed run would not know its own work
