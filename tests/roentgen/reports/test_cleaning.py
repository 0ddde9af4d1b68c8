"""Cleaning: a finding's sentence stays, whoever was called about it, and no stump is left."""

import pytest

from roentgen.reports.cleaning import clean_section

BY_PHONE = "was communicated to Dr. ___ by phone at 3:45 pm on ___."


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (f"The finding of a large left pneumothorax {BY_PHONE}", "large left pneumothorax"),
        ("Findings of left pneumonia were reported to the ICU nurse.", "Left pneumonia."),
        ("This study was reported as showing a left nodule.", "a left nodule"),
        ("As the attending radiologist I find a left effusion.", "a left effusion"),
        ("Thanks to the chest tube, the pneumothorax resolved.", "the pneumothorax resolved"),
        ("Dr. ___ was notified of the left pneumothorax by telephone.", "The left pneumothorax."),
        (f"The large left pneumothorax {BY_PHONE}", "The large left pneumothorax."),
        ("Results were called to Dr. ___: left pneumothorax.", "Left pneumothorax."),
        ("These findings, including a left effusion, were called to Dr. ___.", "left effusion"),
        ("I discussed the new right effusion with Dr. ___.", "The new right effusion."),
        ("I personally reviewed the images and see a small left effusion.", "small left effusion"),
        ("Report of a left nodule was called to the ER.", "A left nodule."),
        ("Case discussed with Dr. ___: tube in the right main bronchus.", "Tube in the right"),
        ("Dr. ___ was paged about the pneumothorax.", "The pneumothorax."),
        ("___ was informed that the tube is in the right bronchus.", "The tube is in the right"),
        ("Called by the team for a new pneumothorax.", "new pneumothorax"),
        ("Left pneumothorax, which was communicated to Dr. ___ by phone.", "Left pneumothorax."),
        ("A finding of tension pneumothorax was relayed to the ICU team.", "tension pneumothorax"),
        ("Low endotracheal tube, discussed with the resident.", "Low endotracheal tube."),
        ("It was reported that the left effusion is larger.", "left effusion is larger"),
        ("Findings were told to Dr. ___, and a tube was put in for edema.", "a tube was put in"),
        ("Nurse was informed of left PICC malposition at 10:30.", "Left PICC malposition."),
        ("Dr. ___ discussed the opacity and acknowledged receipt of it.", "opacity"),
    ],
)
def test_a_finding_stays_whoever_was_called(text: str, finding: str) -> None:
    cleaned = clean_section(f"{text} No edema.")
    assert finding in cleaned
    assert cleaned.endswith("No edema.")
    assert not {"phone", "paged", "___", "3:45"} & set(cleaned.replace(".", " ").split())


@pytest.mark.parametrize(
    "text",
    [
        "Findings were discussed with Dr. ___ by phone at 3:45 pm.",
        "These results were called to Dr. ___.",
        "Dr. ___ was paged at 3:45 pm.",
        "The above was discussed with Dr. ___.",
        "These were discussed with Dr. ___.",
        "Discussed with Dr. ___.",
        "Telephone notification to Dr. ___ at 11:00 a.m.",
        "I have personally reviewed the images and agree with the above.",
        "Electronically signed by Dr. ___.",
        "Thank you for this referral.",
        "As the attending radiologist, I have reviewed the images.",
        "Wet read version 1.",
        "The impression and recommendation above was entered by Dr. ___ on ___ at 11:54.",
        "Findings discussed with the referring physician.",
        "Dr. ___ is aware.",
        "End of report.",
        "Results were telephoned to the ED.",
        "A preliminary read was provided by Dr. ___.",
    ],
)
def test_correspondence_without_a_finding_is_removed(text: str) -> None:
    assert clean_section(f"{text} No edema.") == "No edema."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a ___ mm nodule.", "There is a nodule."),
        ("An ___-mm nodule.", "A nodule."),
        ("A ___-cm left nodule.", "A left nodule."),
        ("Approximately ___ cm nodule.", "Nodule."),
        ("Nodule measuring ___ mm.", "Nodule."),
        ("Nodule measures ___ x ___ cm.", "Nodule."),
        ("Nodule measuring XXXX mm in diameter in the lung.", "Nodule in the lung."),
        ("Opacity of ___ mm.", "Opacity."),
        ("The tube ends ___ cm above the carina.", "The tube ends above the carina."),
        ("The ___ is enlarged.", ""),
        ("The XXXX are unremarkable.", ""),
        ("The ___ and ___ are normal.", ""),
        ("These ___.", ""),
        ("No ___.", ""),
        ("There is a ___.", ""),
        ("The patient has a ___.", ""),
        ("The heart is ___.", ""),
        ("Comparison is made to ___.", ""),
        ("Status post ___.", ""),
        ("5:30 a.m. ___.", ""),
        ("Lungs are ___ and clear.", "Lungs are clear."),
        ("No ___ or effusion.", "No effusion."),
        ("___ and soft tissues are normal.", "Soft tissues are normal."),
        ("There is a ___ opacity.", "There is an opacity."),
        ("This is ___ and may be an effusion.", "This may be an effusion."),
        ("Between ___ and ___ the effusion grew.", "The effusion grew."),
        ("Right ___ catheter ends in the SVC.", "Right catheter ends in the SVC."),
        ("This is ___ from atelectasis.", "This is from atelectasis."),
        ("There is an S-shaped spine ___.", "There is an S-shaped spine."),
    ],
)
def test_a_removed_blank_leaves_no_stump(text: str, expected: str) -> None:
    assert clean_section(text) == expected


def test_wrapped_characters_of_east_asia_are_joined_without_a_space() -> None:
    wrapped = "两肺纹理增多，左侧少量\n胸腔积液。\n心影增大"
    assert clean_section(wrapped) == "两肺纹理增多，左侧少量胸腔积液。 心影增大"
