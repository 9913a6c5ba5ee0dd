"""How much of a prompt a provider would bill as cached."""

from collections import OrderedDict
from itertools import accumulate, takewhile

BYTES_PER_TOKEN = 4


class PrefixCache:
    """Tell how much of a prompt is cached, in whole blocks, as providers bill it.

    A block's key covers all that stands before it, so a known key means a known prefix. Of all blocks, the least
    recently used are forgotten.
    """

    BLOCK_TOKENS = 128

    def __init__(self, blocks: int = 65_536) -> None:
        self._blocks = blocks
        self._keys: OrderedDict[int, None] = OrderedDict()

    def add(self, model: str, prompt: str) -> int:
        """Cache a prompt and return how many of its first tokens already were."""
        text = _encode(prompt)
        size = self.BLOCK_TOKENS * BYTES_PER_TOKEN
        blocks = (text[start : start + size] for start in range(0, len(text) - size + 1, size))
        _, *keys = accumulate(blocks, lambda key, block: hash((key, block)), initial=hash(model))
        known = sum(1 for _ in takewhile(self._keys.__contains__, keys))
        for key in reversed(keys):
            self._keys[key] = None
            self._keys.move_to_end(key)
        while len(self._keys) > self._blocks:
            self._keys.popitem(last=False)
        return known * self.BLOCK_TOKENS


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text from its bytes."""
    return -(-len(_encode(text)) // BYTES_PER_TOKEN)


def _encode(text: str) -> bytes:
    return text.encode(errors="replace")  # half an emoji, which JSON can carry and a reply may end with
