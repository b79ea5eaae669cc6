"""Stop words: frequent words with little meaning, left out of counts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from plait.core.errors import ConfigError

__all__ = ["stop_words"]

ENGLISH = """
a about above after again against all also am an and any are aren't as at be because been before being below between
both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each either else ever
few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself him
himself his how how's i i'd i'll i'm i've if in into is isn't it it's its itself just let's may me might mine more most
must mustn't my myself neither no nor not now of off on once only or other ought our ours ourselves out over own same
shall shan't she she'd she'll she's should shouldn't so some such than that that's the their theirs them themselves then
there there's these they they'd they'll they're they've this those through to too under until up upon us very was wasn't
we we'd we'll we're we've were weren't what what's when when's where where's whether which while who who's whom whose
why why's will with won't would wouldn't yet you you'd you'll you're you've your yours yourself yourselves
"""


@lru_cache(maxsize=8)
def stop_words(which: str | None) -> frozenset[str]:
    """The words to leave out: none, ``english`` (function words and negations), or a file with one word per line.

    Raises:
        ConfigError: no such list and no such file.

    >>> "the" in stop_words("english"), len(stop_words(None))
    (True, 0)
    """
    if which is None:
        return frozenset()
    if which == "english":
        return frozenset(ENGLISH.split())
    try:
        return frozenset(Path(which).read_text(encoding="utf-8").casefold().split())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"stop words {which!r}: neither 'english' nor a file that can be read ({error}). Name a text file with a "
            "word per line."
        ) from error
