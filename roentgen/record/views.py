"""Views of a radiograph, and the token of each in prompts."""

from typing import Literal, get_args

from roentgen.errors import InputError

View = Literal["PA", "AP", "LATERAL"]

VIEWS: tuple[View, ...] = get_args(View)
VIEW_TOKENS: dict[View, str] = {"PA": "<view-pa>", "AP": "<view-ap>", "LATERAL": "<view-lateral>"}
# Words whose mean embedding initializes a new view token.
VIEW_WORDS: dict[View, str] = {
    "PA": "frontal chest x-ray standing",
    "AP": "frontal chest x-ray supine",
    "LATERAL": "side chest x-ray lateral",
}


def parse_view(text: str) -> View:
    """The view of that name, in any case. Raises InputError for an unknown one."""
    for view in VIEWS:
        if text.strip().upper() == view:
            return view
    raise InputError(f"unknown view {text!r}; choose one of: {', '.join(VIEWS)}")
