"""View settings: the views of a corpus to take, and the meanings of its words for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from roentgen.corpora.reader import UnwantedError
from roentgen.errors import InputError
from roentgen.record.views import VIEWS, View


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Settings of the corpora whose tables have a word for each view."""

    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """Meanings of further words in the column of views; null: excluded by name."""
    accept_unknown_view: bool = False
    """Take images whose view is not given; their view stays unknown."""

    def view_of(self, word: str, published: Mapping[str, View | None]) -> View | None:
        """The view that a word means; None for a blank one where unknown views are accepted.

        `published` are the meanings of the corpus's own words. Raises UnwantedError for a view that
        the settings exclude, InputError for an unknown word.
        """
        if not word:
            if self.accept_unknown_view:
                return None
            raise UnwantedError("view not given")
        try:
            view = self.view_words[word] if word in self.view_words else published[word]
        except KeyError:
            raise InputError(f"unknown view {word!r}: give its meaning in view_words") from None
        if view is None:
            raise UnwantedError(f"view {word!r} is excluded by name")
        if view not in self.views:
            raise UnwantedError(f"view {view} is not in views")
        return view
