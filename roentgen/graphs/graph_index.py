"""Index of a file of graphs: the graphs of a report without the rest of the file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from roentgen.errors import require
from roentgen.graphs.json_values import open_values
from roentgen.graphs.radgraph_json import GraphDocument, document_of, repeated_document


@dataclass(frozen=True)
class GraphIndex:
    """Where each report of a file is, by a 64-bit hash of its key: 16 bytes a report."""

    path: Path
    hashes: NDArray[np.uint64]  # in order
    bytes: NDArray[np.int64]  # of the file, where the value of each begins

    def document(self, key: str) -> GraphDocument | None:
        """A report's graphs; None if the file has none of that key. Errors as of `read_graphs`."""
        first, end = (np.searchsorted(self.hashes, _hash(key), side) for side in ("left", "right"))
        if first == end:
            return None
        with open_values(self.path, int(self.bytes[end - 1])) as values:
            document = document_of(key, values.value())
        return repeated_document(document) if end - first > 1 else document


def index_graphs(path: Path) -> GraphIndex:
    """The index of a file, which is read once.

    Raises InputError as `read_graphs` does, for a list, whose reports have no keys, and for a file
    without graphs.
    """
    hashes, places = [], []
    with open_values(path) as values:
        for key in values:
            hashes.append(_hash(key))
            places.append(values.byte())
            values.skip()
        require(values.keyed, f"{path} is a list: write an object, with the key of each report")
    require(len(hashes) > 0, f"{path} has no graphs")
    found = np.array(hashes, dtype=np.uint64)
    order = np.argsort(found, kind="stable")
    return GraphIndex(path, found[order], np.array(places, dtype=np.int64)[order])


def _hash(key: str) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(key.encode(errors="surrogatepass")))
