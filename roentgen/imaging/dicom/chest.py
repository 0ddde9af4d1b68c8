"""Chest check of a DICOM header: images of other modalities and body parts.

Headers are often wrong or blank, so only the words of another modality (PS3.3 C.7.3.1.1.1) or body
part (PS3.16 annex L) exclude an image; words that are not listed say nothing.
"""

from roentgen.errors import UnwantedError

OTHER_MODALITIES = frozenset(
    (
        *("BI", "BMD", "CT", "DG", "ECG", "ES", "EPS", "GM", "IO", "IVUS"),
        *("LS", "MG", "MR", "NM", "OCT", "OP", "OPT", "PT", "PX", "RF"),
        *("RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "TG", "US", "XA"),
        *("XC"),
    )
)
OTHER_BODY_PARTS = frozenset(
    (
        *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CSPINE", "EAR"),
        *("ELBOW", "EXTREMITY", "EYE", "FACE", "FEMUR", "FINGER", "FOOT"),
        *("FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KIDNEY"),
        *("KNEE", "LEG", "LSPINE", "MANDIBLE", "MAXILLA", "NECK", "NOSE"),
        *("ORBIT", "PATELLA", "PELVIS", "SHOULDER", "SKULL", "SSPINE", "TEETH"),
        *("TIBIA", "TOE", "ULNA", "WRIST", "ZYGOMA"),
    )
)


def check_chest(modality: str, body_part: str) -> None:
    """Raise UnwantedError for an image that is no chest radiograph by its header."""
    for name, word, others in (
        ("Modality", modality, OTHER_MODALITIES),
        ("BodyPartExamined", body_part, OTHER_BODY_PARTS),
    ):
        if word.upper() in others:
            raise UnwantedError(f"is no chest radiograph: its {name} is {word.upper()}")
