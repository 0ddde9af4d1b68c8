"""View, age, sex and orientation from the DICOM header of a radiograph."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.value_mapping import years_of_age_string
from roentgen.errors import InputError
from roentgen.imaging.dicom.frame import read_header
from roentgen.record.radiograph import Sex, View
from roentgen.untrusted_files import open_regular

_PLAIN = (b"\x89PNG", b"\xff\xd8\xff")  # copies as PNG or JPEG, without a header
_VIEWS: dict[str, View] = {
    **{"PA": "PA", "AP": "AP"},
    **dict.fromkeys(("LATERAL", "LL", "RL", "LLAT", "RLAT", "LAT", "L"), "LATERAL"),
}
_SEXES: dict[str, Sex] = {"F": "F", "M": "M"}
_KEYWORDS = ("ViewPosition", "PatientAge", "PatientSex", "Modality", "PatientOrientation")


class RadiographHeader(NamedTuple):
    """View, age in years and sex; None where absent, and for a value without meaning.

    `unmapped` lists the latter.
    """

    view: View | None = None
    age: float | None = None
    sex: Sex | None = None
    turned: bool = False  # the pixels are stored in another orientation
    unmapped: tuple[Unmapped, ...] = ()

    def check_upright(self) -> None:
        """Raise InputError for an image that was turned upright: its masks and boxes were not."""
        if self.turned:
            raise InputError(
                "by its header the image is turned, but its masks or boxes are drawn on it as "
                "stored"
            )

    @property
    def known(self) -> dict[str, Any]:
        """View, age and sex as fields of a Radiograph."""
        return {"view": self.view, "age": self.age, "sex": self.sex}


def read_radiograph_header(path: Path, *, adults: bool = False) -> RadiographHeader:
    """The header of an image, all None for a PNG or JPEG. Raises InputError for a damaged DICOM.

    Header fields are typed by hand: an impossible one (an age of 148) is unknown, the image stays.
    Of `adults` an age of 0 means unknown.
    """
    if _is_plain(path):
        return RadiographHeader()
    header = {keyword: text.strip() for keyword, text in read_header(path, _KEYWORDS).items()}
    age = years_of_age_string(header["PatientAge"].upper())
    found = RadiographHeader(
        view=_VIEWS.get(header["ViewPosition"].upper()),
        age=None if adults and age == 0 else age,
        sex=_SEXES.get(header["PatientSex"].upper()),
        turned=_is_turned(header["Modality"], header["PatientOrientation"]),
    )
    return found._replace(unmapped=tuple(_unmapped(header, found)))


def _is_plain(path: Path) -> bool:
    with suppress(OSError), open_regular(path) as file:
        return file.read(4).startswith(_PLAIN)
    return False


def _unmapped(header: Mapping[str, str], found: RadiographHeader) -> Iterator[Unmapped]:
    """The values of the header without a meaning."""
    for name, keyword, value in (
        ("view", "ViewPosition", found.view),
        ("age", "PatientAge", found.age),
        ("sex", "PatientSex", found.sex),
    ):
        if header[keyword] and value is None:
            yield Unmapped(name, header[keyword], f"no known {name}: left unknown")


def _is_turned(modality: str, orientation: str) -> bool:
    """Whether rows do not run to the patient's left, front or back and columns to the feet."""
    letters = [direction[:1].upper() for direction in orientation.split("\\")]
    if modality not in ("CR", "DX", "RG") or len(letters) != 2 or "" in letters:
        return False
    return letters[0] not in ("L", "A", "P") or letters[1] != "F"
