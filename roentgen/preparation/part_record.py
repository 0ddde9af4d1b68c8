"""Records of the parts of a preparation: what they hold beside the shards."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roentgen.corpora.reader import Exclusion, Unmapped
from roentgen.dataset.work_folder import Part, WorkFolder
from roentgen.errors import InputError

PART_ITEMS = 256  # some seconds of work, and shards of 40 MB at 512 pixels

TokenCounts = dict[str, Counter[int]]  # of report sections: texts by their length in tokens


@dataclass(frozen=True, kw_only=True)
class PreparedPart(Part):
    """The record of a finished part of a corpus."""

    excluded: tuple[Exclusion, ...] = ()
    unmapped: Mapping[Unmapped, int] = field(default_factory=dict)  # of the image files
    light: Mapping[str, int] = field(default_factory=dict)  # images by note
    on_sheet: tuple[tuple[str, int], ...] = ()  # (split, row) of images of the contact sheet
    lengths: TokenCounts = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)  # reports by language

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return super().to_json() | {
            "excluded": [[item.id, item.reason, item.expected] for item in self.excluded],
            "unmapped": [[*lost, count] for lost, count in self.unmapped.items()],
            "light": dict(sorted(self.light.items())),
            "on_sheet": [list(place) for place in self.on_sheet],
            "lengths": {name: sorted(counts.items()) for name, counts in self.lengths.items()},
            "languages": dict(sorted(self.languages.items())),
        }

    @classmethod
    def values(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record."""
        return super().values(plain) | {
            "excluded": tuple(
                Exclusion(id=i, reason=r, expected=e) for i, r, e in plain["excluded"]
            ),
            "unmapped": {Unmapped(f, word, why): n for f, word, why, n in plain["unmapped"]},
            "light": dict(plain["light"]),
            "on_sheet": tuple((split, row) for split, row in plain["on_sheet"]),
            "lengths": {name: Counter(dict(counts)) for name, counts in plain["lengths"].items()},
            "languages": dict(plain["languages"]),
        }


PreparationFolder = WorkFolder[PreparedPart]


def preparation_folder(target: Path, rank: int = 0) -> PreparationFolder:
    """The work folder of an output."""
    return WorkFolder(target, PreparedPart, rank)


def drop_bad(work: PreparationFolder) -> None:
    """Drop the parts with bad items: they may be repaired before the next run."""
    for number in work.finished():
        with suppress(InputError):  # another rank drops it too
            if any(item.is_bad for item in work.read(number).excluded):
                work.record_path(number).unlink(missing_ok=True)
