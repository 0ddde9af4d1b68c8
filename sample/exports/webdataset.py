"""WebDataset writer: tar shards in which the files of a sample share a key and are adjacent.

KEY.png, KEY.json (all fields), KEY.txt (the prompt, of synthetic images) and
KEY.STRUCTURE.mask.png. The same set gives the same bytes.
"""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from roentgen.record.radiograph import Radiograph
from sample.exports.config import WebDatasetFormat
from sample.exports.export_source import ExportSource
from sample.exports.image_folder import FOLDERS
from sample.exports.serialization import as_png, file_stem, open_csv, radiograph_fields


def write(radiographs: ExportSource, folder: Path, settings: WebDatasetFormat) -> list[str]:
    """Write the shards; returns the lines for the card."""
    shards: Counter[str] = Counter()
    waiting = iter(radiographs)
    first = next(waiting, None)
    with open_csv(folder / "shards.csv", ("shard", "split", "images", "bytes")) as table:
        while first is not None:
            split = first.split
            path = folder / f"{FOLDERS[split]}-{shards[split]:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
                images, first = _fill(shard, first, waiting, settings)
            shards[split] += 1
            table.add(path.name, split, images, path.stat().st_size)
    return [
        "`webdataset.WebDataset` reads it: "
        + ", ".join(f"{FOLDERS[split]}-{{000000..{n - 1:06d}}}.tar" for split, n in shards.items())
        + "; shards.csv has the images and bytes of each.",
        "KEY.png is the image, KEY.json all its fields, KEY.txt the prompt (of synthetic "
        "images only), KEY.STRUCTURE.mask.png a mask of 0 and 255.",
        "from_radiograph and from_patient, if any, name the radiograph whose prompt was used.",
        "Samples are in the order of the set, those of one prompt next to each other: shuffle.",
    ]


def _fill(
    shard: tarfile.TarFile,
    first: Radiograph,
    waiting: Iterator[Radiograph],
    settings: WebDatasetFormat,
) -> tuple[int, Radiograph | None]:
    """Put radiographs of one split into a shard; returns their number and the first one left."""
    _add(shard, first)
    images = 1
    for radiograph in waiting:
        full = images >= settings.shard_images or shard.offset >= settings.shard_megabytes * 10**6
        if full or radiograph.split != first.split:
            return images, radiograph
        _add(shard, radiograph)
        images += 1
    return images, None


def _add(shard: tarfile.TarFile, radiograph: Radiograph) -> None:
    key = file_stem(radiograph.id)
    for suffix, content in _files(radiograph):
        member = tarfile.TarInfo(f"{key}.{suffix}")  # owner, time and mode are always the same
        member.size = len(content)
        shard.addfile(member, io.BytesIO(content))


def _files(radiograph: Radiograph) -> Iterator[tuple[str, bytes]]:
    masks = {name: f"{file_stem(name.replace(' ', '_'))}.mask.png" for name in radiograph.masks}
    fields = radiograph_fields(radiograph)
    known = {key: value for key, value in fields.items() if value is not None}
    yield "png", as_png(radiograph)
    yield "json", json.dumps(known | {"masks": masks}, ensure_ascii=False).encode()
    if radiograph.synthesis is not None:
        yield "txt", radiograph.synthesis.prompt.encode()
    for structure, suffix in masks.items():
        yield suffix, radiograph.masks[structure]
