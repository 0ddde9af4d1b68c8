"""Open-i: reports from the archive or its folder, joined to films and views."""

import importlib.util
import io
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.open_i.mesh import findings_of
from roentgen.corpora.open_i.open_i import OpenIConfig, OpenIReader, read_reports
from roentgen.corpora.reader import Unmapped
from roentgen.errors import InputError
from roentgen.imaging.images import decode, encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.splits import Fractions, SplitRules, split_of_patient
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

HALVES = Fractions(train=0.5, validate=0, test=0.5)
_FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(_FOUND.origin).parent / "data" if _FOUND and _FOUND.origin else Path("absent")
needs_reports = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's data")

XML = """<eCitation><uId id="{id}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="INDICATION">Cough &amp; XXXX</AbstractText>
<AbstractText Label="FINDINGS"> {findings} </AbstractText><AbstractText Label="IMPRESSION"/>
</Abstract></Article></MedlineCitation><MeSH><major>Pleural Effusion/left/small</major>
<automatic>effusion</automatic></MeSH>{images}</eCitation>"""


def xml(name: str, *images: str, findings: str = "Small effusion.") -> bytes:
    parents = "".join(f'<parentImage id="{image}"/>' for image in images)
    return XML.format(id=name, findings=findings, images=parents).encode()


def film(path: Path, level: int = 200) -> None:
    pixels = np.zeros((20, 30), np.uint8)
    pixels[5:, 3:] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))


def reader(root: Path, **config: Any) -> OpenIReader:
    return OpenIReader(OpenIConfig(root=root, **config), SplitRules(fractions=HALVES), 16, "pad", 0)


def corpus(root: Path) -> None:
    folder = root / "ecgen-radiology"
    folder.mkdir()
    (folder / "1.xml").write_bytes(xml("CXR1", "CXR1_1_IM-1", "CXR1_1_IM-2"))
    (folder / "2.xml").write_bytes(xml("CXR2", "CXR2_IM-1", findings=""))
    for name in ("CXR1_1_IM-1", "CXR1_1_IM-2", "CXR2_IM-1"):
        film(root / "NLMCXR_png" / f"{name}.png")
    (root / "nlmcxr_dicom_metadata.csv").write_text(
        "imageid,View Position\nCXR1_1_IM-1,PA\nCXR1_1_IM-2,LL\nCXR2_IM-1,ODD\n"
    )


def test_films_come_with_report_and_view(tmp_path: Path) -> None:
    corpus(tmp_path)
    it = reader(tmp_path, mesh=True)
    plan = it.plan()
    assert not plan.excluded
    assert plan.unmapped == {Unmapped("view", "ODD", "no known view: left unknown"): 1}
    read = [one for item in plan.items for one in it.read(item)]
    one, two, other = (one for one in read if isinstance(one, Radiograph))
    assert len(read) == 3
    assert [r.id for r in (one, two, other)] == ["CXR1_1_IM-1", "CXR1_1_IM-2", "CXR2_IM-1"]
    assert [r.view for r in (one, two, other)] == ["PA", "LATERAL", None]
    assert {r.patient_id for r in (one, two)} == {r.study_id for r in (one, two)} == {"CXR1"}
    assert one.split == two.split == split_of_patient("CXR1", 0, HALVES)
    assert one.report == Report(indication="Cough & XXXX", findings="Small effusion.")
    assert other.report == Report(indication="Cough & XXXX")  # a report without impression
    effusion = Finding(name="Pleural Effusion", side="left", severity="small")
    assert one.findings == (effusion,)
    assert decode(one.image).shape == (16, 16)
    assert one.license == it.licenses[0].name == "CC-BY-NC-ND-4.0"
    assert not it.licenses[0].may_share
    assert not reader(tmp_path).plan().items[0].findings


def test_everything_excluded_is_listed(tmp_path: Path) -> None:
    corpus(tmp_path)
    folder = tmp_path / "ecgen-radiology"
    (folder / "3.xml").write_bytes(xml("CXR3"))
    (folder / "4.xml").write_bytes(xml("CXR4", "CXR4_IM-1"))
    (folder / "5.xml").write_bytes(xml("CXR5", "CXR5_IM-1")[:200])
    (folder / "6.xml").write_bytes(b"")
    (folder / "7.xml").write_bytes(xml("CXR1", "CXR2_IM-1"))
    (folder / "8.xml").write_bytes(b'<!DOCTYPE a [<!ENTITY b "c">]><eCitation>&b;</eCitation>')
    (folder / "9.xml").write_bytes(b"<eCitation/>")
    film(tmp_path / "NLMCXR_png" / "CXR9_IM-1.png")
    plan = reader(tmp_path).plan()
    told = {item.id: (item.reason, not item.is_bad) for item in plan.excluded}
    assert told["CXR3"] == ("report without images", True)
    assert told["CXR4_IM-1"] == ("file missing", True)
    assert "cannot be read as XML" in told["5.xml"][0]
    assert told["6.xml"][0] == "6.xml is empty or cannot be read"
    assert told["7.xml"][0] == "second report CXR1"
    assert "document type definition" in told["8.xml"][0]
    assert "has no uId" in told["9.xml"][0]
    assert told["CXR9_IM-1"] == ("no report names the image", False)
    assert len(told) == 8
    assert len(plan.items) == 3
    whole = {i.id: not i.is_bad for i in reader(tmp_path, complete=True).plan().excluded}
    assert whole["CXR4_IM-1"] is whole["CXR3"] is False


def test_archive_names_are_never_paths_and_damage_is_told(tmp_path: Path) -> None:
    corpus(tmp_path)
    shutil.rmtree(tmp_path / "ecgen-radiology")
    archive = tmp_path / "NLMCXR_reports.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../../evil.xml", "/tmp/evil.xml"):
            data = xml(
                "CXR2" if name[0] == "/" else "CXR1", f"CXR{2 if name[0] == '/' else 9}_IM-1"
            )
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    plan = reader(tmp_path).plan()
    assert [item.id for item in plan.items] == ["CXR2_IM-1"]
    assert sorted(tmp_path.rglob("*")) == before
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", b""):
        archive.write_bytes(content)
        with pytest.raises(InputError, match=r"NLMCXR_reports\.tgz"):
            reader(tmp_path).plan()


def test_a_wrong_root_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    with pytest.raises(InputError, match=r"open_i\.root .*expected ecgen-radiology/.*found films"):
        reader(tmp_path).plan()
    with pytest.raises(InputError, match="is not a folder"):
        reader(tmp_path / "nowhere").plan()
    (tmp_path / "ecgen-radiology").mkdir()
    with pytest.raises(InputError, match=r"open_i\.images .*expected CXR1_1_IM-0001-3001\.png"):
        reader(tmp_path).plan()
    film(tmp_path / "films" / "a.png")
    with pytest.raises(InputError, match="expected XML files"):
        reader(tmp_path, images="films").plan()
    with pytest.raises(InputError, match=r"no such file or folder: .*other"):
        reader(tmp_path, reports="other").plan()
    (tmp_path / "ecgen-radiology" / "1.xml").write_bytes(xml("CXR1", "CXR1_IM-1"))
    with pytest.raises(
        InputError, match=r"expected the images that the reports name, found a\.png"
    ):
        reader(tmp_path, images="films").plan()
    with pytest.raises(InputError, match=r"unknown split\.published"):
        OpenIReader(OpenIConfig(root=tmp_path), SplitRules(published="official"), 16, "pad", 0)


def test_mesh_terms_become_findings() -> None:
    def of(*terms: str) -> list[tuple[Any, ...]]:
        return [(f.name, f.state, f.side, f.severity, f.detail) for f in findings_of(terms)]

    assert of("Cardiomegaly/borderline") == [("Cardiomegaly", "uncertain", None, None, None)]
    assert of("Cardiac Shadow/enlarged/mild") == [("Cardiomegaly", "present", None, "small", None)]
    assert of("Nodule/lung/upper lobe/right", "normal") == [
        ("Lung Lesion", "present", "right", None, "nodule"),
        ("No Finding", "present", None, None, None),
    ]
    assert of("Opacity/lung/base/bilateral") == [
        ("Lung Opacity", "present", "bilateral", None, None)
    ]
    assert of("Thickening/pleura/apex") == [
        ("Pleural Other", "present", None, None, "pleural thickening")
    ]
    assert of("Calcinosis/lung", "Cardiac Shadow", "No Indexing") == []


def test_mutated_reports_and_archives_are_refused_or_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    whole = xml("CXR1", "CXR1_1_IM-1")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("1.xml")
        info.size = len(whole)
        tar.addfile(info, io.BytesIO(whole))
    refused = 0
    for number in range(400):
        name = "1.xml" if number % 2 else "all.tgz"
        content = bytearray(whole if number % 2 else packed.getvalue())
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.integers(0, 256)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / name).write_bytes(content[: rng.integers(1, len(content) + 1)])
        try:
            list(read_reports(folder if number % 2 else folder / name))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 200


@needs_reports
def test_the_real_reports_are_read() -> None:
    reports = list(read_reports(DATA / "NLMCXR_reports.tgz"))
    assert len({report.id for report in reports}) == len(reports) == 3955
    assert len({image for report in reports for image in report.images}) == 7470
    have = Counter(
        name
        for report in reports
        for name in ("findings", "impression", "indication", "comparison")
        if getattr(report.report, name)
    )
    # Counted with a regular expression.
    assert have == {"findings": 3425, "impression": 3921, "indication": 3865, "comparison": 3333}
    first = next(report for report in reports if report.id == "CXR1")
    assert first.major == ("normal",)
    assert first.images == ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001")


@needs_reports
def test_the_real_views_join(tmp_path: Path) -> None:
    shutil.copy(DATA / "NLMCXR_reports.tgz", tmp_path)
    shutil.copy(DATA / "nlmcxr_dicom_metadata.csv.gz", tmp_path)
    film(tmp_path / "NLMCXR_png" / "CXR1000_IM-0003-2001.png")
    film(tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png")  # the metadata has no such name
    plan = reader(tmp_path).plan()
    assert {item.id: item.view for item in plan.items} == {
        "CXR1000_IM-0003-2001": "PA",
        "CXR1_1_IM-0001-3001": None,
    }
    reasons = Counter((item.reason, not item.is_bad) for item in plan.excluded)
    assert reasons == {("file missing", True): 7468, ("report without images", True): 104}


def open_i_report(name: str, *films: str, impression: str = "No acute process.") -> str:
    """An Open-i report in XML."""
    images = "".join(f'<parentImage id="{film}"/>' for film in films)
    section = f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>'
    return f'<eCitation><uId id="{name}"/>{section}{images}</eCitation>'


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    table = root / "nlmcxr_dicom_metadata.csv.gz"
    corpus = CorpusTree("open_i", "png", root, table, ["imageid", "View Position"])
    (root / "ecgen-radiology").mkdir(parents=True)
    for number in range(IMAGES):
        film = f"CXR{number}_IM-1"
        corpus.add(film, f"NLMCXR_png/{film}.png", [film, "PA"])
        (root / f"ecgen-radiology/{number}.xml").write_text(open_i_report(f"CXR{number}", film))
    return corpus
