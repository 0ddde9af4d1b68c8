"""Titles of sections as many houses write them, and what is no title though it looks like one."""

import pytest

from roentgen.record.radiograph import Report
from roentgen.reports.sections import parse_report

LEFT = "Large left effusion."
FORMS = (
    *("{}: {}", "{}：{}", "**{}:** {}", "**{}**: {}", "## {}\n{}", "1. {}: {}", "{}\n{}"),
    *("{}:\n\n{}", "[{}]\n{}", "{} :{}", "  {}:\r\n  {}", "__{}:__ {}", "{}:\t{}"),
)


@pytest.mark.parametrize(
    "title",
    [
        *("PNEUMOTHORAX", "HARDWARE", "PARENCHYMA", "VASCULARITY", "EFFUSION, RIGHT", "PLEURA"),
        *("LINES AND TUBES", "HEART/MEDIASTINUM", "UPPER ABDOMEN", "PULMONARY VESSELS", "LUNGS"),
        *("Lungs", "Heart and mediastinum", "Pleural spaces", "Bones", "SUPPORT DEVICES", "OTHER"),
        *("LUNG FINDINGS", "RIGHT HEMITHORAX", "CATHETERS (NEW)", "A", "1. LUNGS", "LIMITATIONS"),
    ],
)
@pytest.mark.parametrize("section", ["findings", "impression"])
def test_a_part_of_the_findings_is_text(title: str, section: str) -> None:
    report = parse_report(f"{section.upper()}:\n Normal heart.\n {title}: {LEFT}\n No edema.\n")
    name = title.removeprefix("1. ")
    assert report == Report(**{section: f"Normal heart. {name}: {LEFT} No edema."})


@pytest.mark.parametrize(
    ("title", "section"),
    [
        *[(name, "findings") for name in ("REPORT", "RESULT", "RESULTS", "DISCUSSION")],
        *[(name, "findings") for name in ("NARRATIVE", "DESCRIPTION", "OBSERVATIONS", "Report")],
        *[(name, "findings") for name in ("CHEST X-RAY FINDINGS", "X-RAY REPORT", "Finding")],
        *[(name, "findings") for name in ("HALLAZGOS", "INFORME", "Descripción", "Resultados")],
        *[(name, "findings") for name in ("影像所见", "检查所见", "所见", "X线所见", "影像表现")],
        *[(name, "impression") for name in ("INTERPRETATION", "SUMMARY", "OPINION", "DIAGNOSIS")],
        *[(name, "impression") for name in ("CONCLUSION", "ASSESSMENT", "Final diagnosis", "PFI")],
        *[(name, "impression") for name in ("IMPRESSION AND RECOMMENDATIONS", "Opinion")],
        *[(name, "impression") for name in ("IMPRESIÓN", "Impresión diagnóstica", "CONCLUSIÓN")],
        *[(name, "impression") for name in ("Juicio diagnóstico", "DIAGNÓSTICO", "CONCLUSIONES")],
        *[(name, "impression") for name in ("诊断意见", "印象", "诊断", "结论", "影像学诊断")],
        *[(name, "findings") for name in ("檢查所見", "影像表現")],
        *[(name, "impression") for name in ("診斷意見", "結論")],
        *[(name, "indication") for name in ("INDICATION", "Reason for exam", "CLINICAL CONCERN")],
        *[(name, "indication") for name in ("Clinical information", "CLINICAL DETAILS", "HISTORY")],
        *[(name, "indication") for name in ("INDICACIÓN", "MOTIVO", "Motivo de consulta")],
        *[(name, "indication") for name in ("Datos clínicos", "ANTECEDENTES", "Historia clínica")],
        *[(name, "indication") for name in ("临床诊断", "病史", "检查目的")],
        *[(name, "comparison") for name in ("COMPARISON", "COMPARACIÓN", "对比")],
        *[(name, None) for name in ("TECHNIQUE", "TÉCNICA", "Exam", "检查方法", "VIEWS")],
        *[(name, None) for name in ("NOTIFICATION", "Proyecciones", "检查部位", "报告医师")],
    ],
)
def test_titles_and_their_forms(title: str, section: str | None) -> None:
    for form in FORMS:
        report = parse_report(form.format(title, LEFT))
        assert report == Report(**({section: LEFT} if section else {})), form


@pytest.mark.parametrize(
    ("title", "section"),
    [
        *[(name, "indication") for name in ("NDICATION", "INDCATION", "INDICATIN", "HISTROY")],
        *[(name, "findings") for name in ("FINDNGS", "FINIDNGS", "FINDINS")],
        *[(name, "impression") for name in ("IMPRESSON", "IMOPRESSION", "CONCLUSON", "IMPRESION")],
        *[(name, "comparison") for name in ("COMPARISION", "COMPARSION")],
    ],
)
def test_misspelled_titles(title: str, section: str) -> None:
    assert parse_report(f"TECHNIQUE: PA.\n{title}: {LEFT}") == Report(**{section: LEFT})


@pytest.mark.parametrize(
    "text",
    [
        "Indication: fever. Findings: Large left effusion. Impression: No edema.",
        "INDICATION: Fever FINDINGS: Large left effusion. IMPRESSION: No edema.",
        "Indication: fever Findings: Large left effusion. Impression: No edema.",
        "indication: fever. findings: Large left effusion. impression: No edema.",
        "Indication: fever; Findings: Large left effusion. IMPRESSION: No edema.",
        "Reason for exam: fever. Findings: Large left effusion. Conclusion: No edema.",
        "Clinical history: Fever. Technique: PA. Findings: Large left effusion. Opinion: No edema.",
        "Indication: fever.\tFindings: Large left effusion.\tImpression: No edema.",
        "**Indication:** fever. **Findings:** Large left effusion. **Impression:** No edema.",
        "FINAL REPORT EXAMINATION: Chest INDICATION: Fever FINDINGS: Large left effusion."
        " IMPRESSION: No edema. RECOMMENDATION: CT to exclude a mass.",
        "Motivo: fever. Hallazgos: Large left effusion. Conclusión: No edema.",
    ],
)
def test_several_sections_in_a_line(text: str) -> None:
    report = parse_report(text)
    assert (report.indication or "").rstrip(".").rstrip(";") == "Fever"
    assert (report.findings, report.impression) == (LEFT, "No edema.")


def test_chinese_sections_in_a_line() -> None:
    text = (
        "检查方法：正位片。影像所见：心影增大。左侧少量胸腔积液。诊断意见：1.心影增大；2.左侧积液。"
    )
    brackets = text.replace("影像所见：", "【影像所见】").replace("诊断意见：", "【诊断意见】")
    for given in (text, brackets, text.replace("。", "。\n"), text.replace("：", ":")):
        report = parse_report(given)
        assert (report.findings or "").replace(" ", "") == "心影增大。左侧少量胸腔积液。"
        assert (report.impression or "").replace(" ", "") == "心影增大；左侧积液。"


@pytest.mark.parametrize("date", ["（2023.10.2）", "(2023-10-2)", "2023年10月2日片"])
def test_a_comparison_within_chinese_findings_stays_text(date: str) -> None:
    text = f"与前片{date}比较：左侧胸腔积液较前增多。"
    assert parse_report(f"影像所见：{text}").findings == text


@pytest.mark.parametrize(
    "tail",
    [
        *("RECOMMENDATION: CT to exclude mass.", "NOTIFICATION: Pneumonia was told of."),
        *("Recommendation: CT to exclude mass.", "RECOMMENDATIONS: CT for a mass."),
        *("NOTIFICATION: Dr. ___ by phone about a mass.", "\nRECOMMENDATION: CT for a mass."),
        *("RECOMENDACIÓN: CT de una masa.", "Notification: a mass.", "COMMUNICATION: a mass."),
        *("CRITICAL RESULTS: told of the mass.", "\n\nDICTATED BY: A. Mass, MD."),
    ],
)
def test_recommendations_and_notifications_are_cut_off(tail: str) -> None:
    report = parse_report(f"FINDINGS: {LEFT} IMPRESSION: No acute process. {tail}")
    assert report == Report(findings=LEFT, impression="No acute process.")


@pytest.mark.parametrize(
    "text",
    [
        "ADDENDUM: A small left nodule.\n______________\n FINAL REPORT\n IMPRESSION: Edema.",
        "IMPRESSION: Edema.\n\nADDENDUM: A small left nodule.",
        "IMPRESSION: Edema.\nAddendum: A small left nodule.",
        "FINAL ADDENDUM\n IMPRESSION: A small left nodule.\n FINAL REPORT\nIMPRESSION: Edema.",
        "FINAL REPORT\nIMPRESSION: Edema. ADDENDUM: A small left nodule.",
        "IMPRESSION: Edema.\nADDENDUM BY DR. ___ ON ___: A small left nodule.",
        "***ADDENDUM***\nA small left nodule.\n\nIMPRESSION: Edema.",
        "IMPRESIÓN: Edema.\n\nADENDA: A small left nodule.",
        "**Impression:** Edema.\n**Addendum:** A small left nodule.",
    ],
)
def test_an_addendum_ends_the_impression(text: str) -> None:
    assert parse_report(text).impression == "Edema. A small left nodule."


def test_an_addendum_of_an_untitled_text_ends_it() -> None:
    text = "The heart is large.\n\nADDENDUM: A small left nodule."
    assert parse_report(text) == Report(last_paragraph="The heart is large. A small left nodule.")
    text = "FINDINGS: Large heart.\n\nADDENDUM: A small left nodule."
    assert parse_report(text) == Report(findings="Large heart.", impression="A small left nodule.")


@pytest.mark.parametrize(
    "text",
    [
        "WET READ: ___ 9:00 PM\n Large left effusion.",
        "WET READ: Large left effusion.",
        "Wet read: Large left effusion.",
        "WET READ\nLarge left effusion.",
        "WET READ VERSION #1 ___ ___ 9:00 PM\n Large left effusion.",
        "WET READ: ___ 9:00 PM\n Large left effusion.\n" + "_" * 60 + "\n  FINAL REPORT\n",
        "WET READ: Large left effusion.\n FINAL REPORT\n INDICATION: Fever.\n",
        "PRELIMINARY REPORT: Large left effusion.",
        "PA CHEST\n\nHISTORY: Fever.\n\nLarge left effusion.",
        "COMPARISON: None.\n\nLarge left effusion.",
        "HISTORY: Fever.\n\nLarge left effusion.\n\nCOMPARISON: None.",
        "PORTABLE CHEST\n\nLarge left effusion.",
        "AP CHEST, 1:___ ___M.\n\nHISTORY: Fever.\n\nLarge left effusion.",
        "AP CHEST, 1:45 P.M., ___\n\nLarge left effusion.",
        "Portable AP chest radiograph at 5:30 a.m.\n\nLarge left effusion.",
        "FINAL REPORT\n AP VIEW OF THE CHEST\n\n INDICATION: Fever.\n\n Large left effusion.",
        "Large left effusion.",
    ],
)
def test_untitled_text_is_the_last_paragraph(text: str) -> None:
    report = parse_report(text)
    assert (report.findings, report.impression, report.last_paragraph) == (None, None, LEFT)


@pytest.mark.parametrize(
    ("text", "paragraph"),
    [
        ("PORTABLE CHEST\n\nLARGE LEFT EFFUSION.\n\nNO EDEMA.", "LARGE LEFT EFFUSION. NO EDEMA."),
        ("CHEST PA\n\nLARGE LEFT EFFUSION", "LARGE LEFT EFFUSION"),
        ("CHEST PA\nLARGE LEFT EFFUSION\nNO EDEMA", "LARGE LEFT EFFUSION. NO EDEMA"),
        ("LARGE LEFT EFFUSION", "LARGE LEFT EFFUSION"),
        ("HISTORY: FEVER\n\nLARGE LEFT EFFUSION\n\nNO EDEMA", "LARGE LEFT EFFUSION. NO EDEMA"),
    ],
)
def test_reports_in_capitals(text: str, paragraph: str) -> None:
    assert parse_report(text).last_paragraph == paragraph


@pytest.mark.parametrize(
    "text",
    [
        "INDICATION: Cough.\n\nLUNGS: Large left effusion.\nHEART: Normal.",
        "TECHNIQUE: PA.\nPNEUMOTHORAX: None.\nEFFUSION: Large left effusion.",
        "EXAM: Chest.\nLungs: Large left effusion.\nHeart: normal.",
        "CHEST, TWO VIEWS: Large left effusion.",
        "PA AND LATERAL CHEST:\n\n Large left effusion.",
        "PULMONES: Large left effusion.",
    ],
)
def test_parts_without_a_title_above_are_findings(text: str) -> None:
    assert LEFT in (parse_report(text).findings or "")


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: The clinical history:impression of edema is seen in 10:30 hours.",
        "FINDINGS: The left lung shows significant findings: a nodule.",
        "FINDINGS: See http://impression://x.",
        "FINDINGS: A nodule (see history) is 2:1.",
        "FINDINGS: Findings of edema\nand a history\nof effusion are seen.",
        "FINDINGS: TIME OF DAY: noon. Edema.",
        "FINDINGS: Edema.\nStudy: limited by rotation.\nNo nodule.",
    ],
)
def test_what_is_no_title(text: str) -> None:
    report = parse_report(text)
    assert report == Report(findings=report.findings)
    words = (report.findings or "").split()
    assert len(words) >= len(text.split()) - 3


@pytest.mark.parametrize(
    "head",
    [
        "",
        "PA CHEST\n\n",
        "HISTORY: Cough.\n\n",
        "HISTORY: Cough.\n\nCOMPARISON: None.\n\n",
        "WET READ: Edema.\n FINAL REPORT\n COMPARISON: None.\n\n",
        "TECHNIQUE: PA and lateral.\n\n",
    ],
)
def test_untitled_text_before_the_impression_is_the_findings(head: str) -> None:
    report = parse_report(f"{head}{LEFT}\n\nIMPRESSION: Effusion.")
    assert (report.findings, report.impression) == (LEFT, "Effusion.")
    assert report.indication in (None, "Cough.")


@pytest.mark.parametrize(
    "text",
    [
        "I. FINDINGS: Large left effusion.\nII. IMPRESSION: Edema.",
        "<FINDINGS>\nLarge left effusion.\n</FINDINGS>\n<IMPRESSION>Edema.</IMPRESSION>",
        "Findings - Large left effusion.\nImpression - Edema.",
        "FINDINGS: Large left effusion.\nIMPRESSION:Edema.Recommendation:CT.",
    ],
)
def test_other_marks_of_titles(text: str) -> None:
    assert parse_report(text) == Report(findings=LEFT, impression="Edema.")


@pytest.mark.parametrize("text", ["", " \n", "nan", "NaN", "None", " n/a\n"])
def test_a_blank_report_has_no_section(text: str) -> None:
    assert parse_report(text) == Report()


def test_a_diagnosis_before_the_findings_is_why_the_patient_came() -> None:
    text = "DIAGNOSIS: Pneumonia.\nFINDINGS: Clear lungs.\nIMPRESSION: Normal."
    assert parse_report(text) == Report(
        findings="Clear lungs.", impression="Normal.", indication="Pneumonia."
    )


def test_sections_with_one_meaning_are_joined() -> None:
    text = "CHEST: PA.\nFINDINGS: Edema.\nDISCUSSION: Effusion.\nSUMMARY: A.\nCONCLUSION: B."
    assert parse_report(text) == Report(findings="Edema. Effusion.", impression="A. B.")
