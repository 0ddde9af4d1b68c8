"""Race: words of corpora to the words of prompts."""

import re

# By first word: "WHITE - RUSSIAN", "BLACK/CAPE VERDEAN", "Asian, non-Hispanic". Other words (SOUTH
# AMERICAN, PORTUGUESE, MULTIPLE RACE/ETHNICITY, OTHER) belong to no group by their name alone.
_RACES = {
    "white": "white",
    "black": "black or african american",
    "asian": "asian",
    "hispanic": "hispanic or latino",
    "american": "american indian or alaska native",
    "native": "native hawaiian or other pacific islander",
    "pacific": "native hawaiian or other pacific islander",
}


def prompt_race(text: str) -> str | None:
    """The race in the words of prompts; None for a word that names none."""
    return _RACES.get(re.split(r"[ /,-]", text.strip().lower(), maxsplit=1)[0])
