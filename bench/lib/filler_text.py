"""Text with the statistics of language, from a seed: words of all lengths, the frequent ones short, in sentences."""

from itertools import accumulate
from random import Random

from mirror_graph.state.tokens import BYTES_PER_TOKEN

VOCABULARY = 5_000
ONSETS = ("b", "br", "c", "ch", "d", "f", "g", "gr", "h", "l", "m", "n", "p", "r", "s", "sh", "st", "t", "th", "w")
VOWELS = ("a", "e", "i", "o", "u", "ea", "ou")
CODAS = ("", "", "", "l", "n", "nd", "r", "s", "st", "t")


class Speech:
    """Talks on and on, never the same twice, the same for the same seed.

    The word of rank r comes with the frequency 1 / (r + 2.7), as in natural language (Zipf, Mandelbrot), so that
    what is stored compresses about as prose does, which one repeated sentence would not.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._words = [self._coin(rank) for rank in range(VOCABULARY)]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))

    def text(self, tokens: int) -> str:
        """Return a text of `tokens` tokens."""
        size = tokens * BYTES_PER_TOKEN
        text = " ".join(self._sentence() for _ in range(size // 40 + 1))
        return text[: size - 1].rstrip().ljust(size - 1, "o") + "."

    def _sentence(self) -> str:
        words = self._random.choices(self._words, cum_weights=self._weights, k=self._random.randint(6, 20))
        return " ".join(words).capitalize() + "."

    def _coin(self, rank: int) -> str:
        syllables = 1 if rank < 300 else 2 if rank < 3_000 else 3
        pick = self._random.choice
        return "".join(pick(ONSETS) + pick(VOWELS) + pick(CODAS) for _ in range(syllables))
