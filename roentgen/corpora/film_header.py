"""What a film's DICOM header says of view, age and sex."""

from pathlib import Path
from typing import NamedTuple

from roentgen.data.dicom import read_header
from roentgen.data.radiograph import Sex
from roentgen.data.views import View
from roentgen.errors import InputError

_PLAIN = (".png", ".jpg", ".jpeg")  # copies without a header
_VIEWS: dict[str, View] = {
    **{"PA": "PA", "AP": "AP"},
    **dict.fromkeys(("LATERAL", "LL", "RL", "LLAT", "RLAT", "LAT", "L"), "LATERAL"),
}
_KEYWORDS = ("ViewPosition", "PatientAge", "PatientSex", "Modality", "PatientOrientation")
_A_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_OLDEST = 120  # years


class FilmHeader(NamedTuple):
    """View, age in years and sex; None where the header does not say, or says what cannot be."""

    view: View | None = None
    age: float | None = None
    sex: Sex | None = None
    turned: bool = False

    def check_upright(self) -> None:
        """Raise InputError for a film that was turned upright: its masks and boxes were not."""
        if self.turned:
            raise InputError(
                "the header says that the film is turned, but its masks or boxes are drawn on it "
                "as stored"
            )


def film_header(path: Path) -> FilmHeader:
    """The header of a film, all None for a PNG or JPEG. Raises InputError for a damaged DICOM.

    Header fields are typed by hand: what cannot be (an age of 148) is unknown, the film is good.
    """
    if path.suffix.lower() in _PLAIN:
        return FilmHeader()
    header = read_header(path, _KEYWORDS)
    sexes: dict[str, Sex] = {"F": "F", "M": "M"}
    return FilmHeader(
        view=_VIEWS.get(header["ViewPosition"].strip().upper()),
        age=_years(header["PatientAge"].strip().upper()),
        sex=sexes.get(header["PatientSex"].strip().upper()),
        turned=_is_turned(header["Modality"], header["PatientOrientation"]),
    )


def _is_turned(modality: str, orientation: str) -> bool:
    """Whether rows do not run to the patient's left, front or back and columns to the feet."""
    letters = [direction[:1].upper() for direction in orientation.split("\\")]
    if modality not in ("CR", "DX", "RG") or len(letters) != 2 or "" in letters:
        return False
    return letters[0] not in ("L", "A", "P") or letters[1] != "F"


def _years(text: str) -> float | None:
    """Years from DICOM's "043Y" or "010M", and from a bare "43"."""
    unit = text[-1:] if text[-1:] in _A_YEAR else "Y"
    number = text.removesuffix(unit)
    if not (number.isascii() and number.isdigit() and len(number) <= 4):
        return None
    age = round(int(number) / _A_YEAR[unit], 2)
    return age if age <= _OLDEST else None
