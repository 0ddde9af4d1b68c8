"""What a film's DICOM header says of view, age and sex."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Unmapped
from roentgen.errors import InputError
from roentgen.imaging.dicom.frame import read_header
from roentgen.record.radiograph import Sex
from roentgen.record.views import View

_PLAIN = (b"\x89PNG", b"\xff\xd8\xff")  # copies as PNG or JPEG, without a header
_VIEWS: dict[str, View] = {
    **{"PA": "PA", "AP": "AP"},
    **dict.fromkeys(("LATERAL", "LL", "RL", "LLAT", "RLAT", "LAT", "L"), "LATERAL"),
}
_SEXES: dict[str, Sex] = {"F": "F", "M": "M"}
_KEYWORDS = ("ViewPosition", "PatientAge", "PatientSex", "Modality", "PatientOrientation")
_A_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_OLDEST = 120  # years


class FilmHeader(NamedTuple):
    """View, age in years and sex; None where the header does not say, or says what cannot be.

    `unmapped` tells the latter.
    """

    view: View | None = None
    age: float | None = None
    sex: Sex | None = None
    turned: bool = False
    unmapped: tuple[Unmapped, ...] = ()

    def check_upright(self) -> None:
        """Raise InputError for a film that was turned upright: its masks and boxes were not."""
        if self.turned:
            raise InputError(
                "the header says that the film is turned, but its masks or boxes are drawn on it "
                "as stored"
            )


def film_header(path: Path, *, adults: bool = False) -> FilmHeader:
    """The header of a film, all None for a PNG or JPEG. Raises InputError for a damaged DICOM.

    Header fields are typed by hand: what cannot be (an age of 148) is unknown, the film is good.
    Of `adults` an age of 0 stands for unknown.
    """
    if _is_plain(path):
        return FilmHeader()
    header = {keyword: text.strip() for keyword, text in read_header(path, _KEYWORDS).items()}
    age = _years(header["PatientAge"].upper())
    known = FilmHeader(
        view=_VIEWS.get(header["ViewPosition"].upper()),
        age=None if adults and age == 0 else age,
        sex=_SEXES.get(header["PatientSex"].upper()),
        turned=_is_turned(header["Modality"], header["PatientOrientation"]),
    )
    return known._replace(unmapped=tuple(_unmapped(header, known)))


def _is_plain(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(4).startswith(_PLAIN)
    return False


def _unmapped(header: Mapping[str, str], known: FilmHeader) -> Iterator[Unmapped]:
    """What stands in the header and is nothing known."""
    for name, keyword, value in (
        ("view", "ViewPosition", known.view),
        ("age", "PatientAge", known.age),
        ("sex", "PatientSex", known.sex),
    ):
        if header[keyword] and value is None:
            yield Unmapped(name, header[keyword], f"no known {name}: left unknown")


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
