"""DICOM files of synthetic radiographs: valid, marked, reproducible, and of the same pixels."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from roentgen.corpora.scanning.dicom_header import read_radiograph_header
from roentgen.dataset.dataset import open_dataset
from roentgen.imaging.images import decode, open_gray
from roentgen.record.radiograph import Radiograph

VALIDATOR = shutil.which("dciodvfy")


def films(out: Path, source: Path) -> list[tuple[Path, pydicom.Dataset, Radiograph]]:
    dataset = open_dataset(source)
    truth = {r.id: r for name in dataset.splits for r in dataset.split(name)}
    with (out / "identities.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(out / r["file"], pydicom.dcmread(out / r["file"]), truth[r["id"]]) for r in rows]


@pytest.mark.parametrize("bits", [8, 12])
def test_the_same_pixels_come_back(
    exported: Callable[..., Path], set_to_export: Path, bits: int
) -> None:
    out = exported(dicom={"bits": bits}) / "dicom"
    found = films(out, set_to_export)
    assert len(found) == 10
    for path, film, radiograph in found:
        np.testing.assert_array_equal(np.asarray(open_gray(path)), decode(radiograph.image))
        assert (film.BitsStored, film.HighBit) == (bits, bits - 1)
        assert film.BitsAllocated == (8 if bits == 8 else 16)
        words = np.rint(decode(radiograph.image) * (((1 << bits) - 1) / 255))
        np.testing.assert_array_equal(film.pixel_array, words)
        header = read_radiograph_header(path)
        assert (header.view, header.sex) == (radiograph.view, radiograph.sex)
        assert header.age == (None if radiograph.age is None else int(radiograph.age))
        assert not header.turned


@pytest.mark.skipif(VALIDATOR is None, reason="needs dciodvfy, of Debian's dicom3tools")
@pytest.mark.parametrize("bits", [8, 12])
def test_the_validator_finds_no_error(
    exported: Callable[..., Path], set_to_export: Path, bits: int
) -> None:
    def errors(path: Path) -> list[str]:
        assert VALIDATOR is not None
        done = subprocess.run([VALIDATOR, path], capture_output=True, text=True, timeout=300)
        lines = (done.stdout + done.stderr).splitlines()
        assert "CRImage" in lines  # recognised as what it is
        return [line for line in lines if line.startswith("Error")]

    out = exported(dicom={"bits": bits}) / "dicom"
    for path, film, _ in films(out, set_to_export):
        # Debian's validator is of June 2022 and Synthetic Data younger: of it alone it complains.
        assert all("(0x0008,0x001c)" in line for line in errors(path))
        del film.SyntheticData
        film.save_as(path.with_suffix(".without"))
        assert errors(path.with_suffix(".without")) == []
    path, film, _ = films(out, set_to_export)[0]
    del film.Modality
    film.save_as(path.with_suffix(".broken"))
    assert errors(path.with_suffix(".broken")) != []


def test_files_are_marked_as_synthetic(exported: Callable[..., Path], set_to_export: Path) -> None:
    out = exported(dicom={}) / "dicom"
    for _, film, radiograph in films(out, set_to_export):
        assert film.SyntheticData == "YES"
        assert list(film.ImageType) == ["DERIVED", "SECONDARY"]
        assert film.BurnedInAnnotation == "NO"
        assert (film.Modality, film.BodyPartExamined) == ("CR", "CHEST")
        assert film.PhotometricInterpretation == "MONOCHROME2"
        for keyword in (
            *("PatientName", "PatientID", "PatientComments", "StudyID", "StudyDescription"),
            *("SeriesDescription", "ImageComments", "DerivationDescription"),
        ):
            assert str(film[keyword].value).startswith("SYNTHETIC"), keyword
        for keyword in ("StudyDate", "PatientBirthDate", "AccessionNumber"):
            assert film[keyword].value == ""
        assert film.ViewPosition == (radiograph.view or "")
        frontal = radiograph.view in ("PA", "AP")
        assert (film.PatientOrientation == ["L", "F"]) == frontal
        synthesis = radiograph.synthesis
        assert synthesis is not None
        assert synthesis.prompt in film.ImageComments
        assert str(synthesis.seed) in film.ImageComments
        assert synthesis.model in film.ImageComments
        block = film.private_block(0x0071, "ROENTGEN SYNTHETIC 1")
        message = [block[element].value for element in range(1, 9)]
        assert message == [
            synthesis.prompt,
            synthesis.negative_prompt or "",
            str(synthesis.seed),
            synthesis.guidance_scale,
            synthesis.steps,
            synthesis.scheduler,
            synthesis.model,
            radiograph.id,
        ]


def test_identifiers_are_new_distinct_and_always_the_same(
    exported: Callable[..., Path], set_to_export: Path
) -> None:
    twelve = films(exported(dicom={}) / "dicom", set_to_export)
    patients: dict[str, str] = {}
    studies: dict[tuple[str, str], str] = {}
    for _, film, radiograph in twelve:
        for uid in (film.StudyInstanceUID, film.SeriesInstanceUID, film.SOPInstanceUID):
            assert uid.is_valid
            assert uid.startswith("2.25.")
        assert film.file_meta.MediaStorageSOPInstanceUID == film.SOPInstanceUID
        patients[radiograph.patient_id] = film.PatientID
        key = (radiograph.patient_id, radiograph.study_id)
        assert studies.setdefault(key, film.StudyInstanceUID) == film.StudyInstanceUID
    assert len(set(patients.values())) == len(patients) == 7
    assert len(set(studies.values())) == len(studies) == 8
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert len({film[keyword].value for _, film, _ in twelve}) == 10
    series = [(film.StudyInstanceUID, film.SeriesNumber) for _, film, _ in twelve]
    assert len(set(series)) == 10
    eight = films(exported(dicom={"bits": 8}, overwrite=True) / "dicom", set_to_export)
    again = films(exported(dicom={}, overwrite=True) / "dicom", set_to_export)
    for (_, first, _), (_, other, _), (_, same, _) in zip(twelve, eight, again, strict=True):
        assert first == same
        assert first.StudyInstanceUID == other.StudyInstanceUID
        assert first.SOPInstanceUID != other.SOPInstanceUID  # other pixels


def test_a_long_prompt_is_cut_in_the_comment_only(
    set_to_export: Path, make_small_dataset: Callable[..., Path]
) -> None:
    from dataclasses import replace

    from sample.exports.dicom import make_dicom

    radiograph = open_dataset(set_to_export).split("train")[0]
    assert radiograph.synthesis is not None
    synthesis = replace(radiograph.synthesis, prompt="effusion, " * 2000)
    film = make_dicom(replace(radiograph, synthesis=synthesis), "set", 12, 1)
    assert len(film.ImageComments) == 10_240
    assert film.ImageComments.endswith("…")
    assert film.private_block(0x0071, "ROENTGEN SYNTHETIC 1")[1].value == synthesis.prompt
