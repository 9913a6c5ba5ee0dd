"""The keys that stored values are encrypted with: AES-256-GCM, each value bound to the place it is stored in."""

import json
import os
import secrets
from base64 import b64decode, b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from mirror_graph.errors import ConfigurationError, DamagedValueError, MissingKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VARIABLE = "MIRROR_AES_KEY"
KEY_BYTES = 32
MARK = b"\xf5mirror1"
"""What every encrypted value begins with. No text does: 0xf5 never occurs in UTF-8."""
ID_BYTES = 8
NONCE_BYTES = 12


class Keyring:
    """The keys of a host. The first one encrypts, and each of them decrypts.

    Every key has an id, the first bytes of its SHA-256, which is stored with what it encrypts. A keyring without keys
    encrypts nothing and reads only what is not encrypted.
    """

    def __init__(self, keys: str = "") -> None:
        """Read keys of 32 bytes, in base64 or hexadecimal, separated by commas.

        Raises `ConfigurationError` for a key of another size, and if the extra `encryption` is not installed.
        """
        read = [_key_bytes(key.strip()) for key in keys.split(",") if key.strip()]
        self._ciphers = {_key_id(key): _cipher(key) for key in read}

    @classmethod
    def chosen(cls, keys: str | None) -> "Keyring":
        """Return the keyring of `keys`, or of the environment's `MIRROR_AES_KEY` if they are None."""
        return _keyring(os.environ.get(VARIABLE, "") if keys is None else keys)

    def __bool__(self) -> bool:
        return bool(self._ciphers)

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, the one that encrypts first."""
        return [key_id.hex() for key_id in self._ciphers]

    def seal(self, plain: bytes, place: tuple[str, ...]) -> bytes:
        """Encrypt bytes for one place: they can be decrypted nowhere else."""
        key_id, cipher = next(iter(self._ciphers.items()))
        nonce = secrets.token_bytes(NONCE_BYTES)
        return MARK + key_id + nonce + cipher.encrypt(nonce, plain, _associated(place))

    def open(self, sealed: bytes, place: tuple[str, ...]) -> bytes:
        """Decrypt what `seal` returned for the same place.

        Raises `MissingKeyError` if its key is not in the keyring, and `DamagedValueError` if the bytes were changed or
        belong to another place.
        """
        key_id, rest = sealed[len(MARK) :][:ID_BYTES], sealed[len(MARK) + ID_BYTES :]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise MissingKeyError(key_id.hex(), self.ids)
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _associated(place))
        except (InvalidTag, ValueError) as error:
            raise DamagedValueError("a stored value was changed, or moved here from another place") from error

    def is_current(self, sealed: bytes) -> bool:
        """Say whether the first key encrypted these bytes."""
        return sealed.startswith(MARK + next(iter(self._ciphers)))


def is_sealed(value: object) -> bool:
    """Say whether a stored value is what `Keyring.seal` returns."""
    return isinstance(value, bytes) and value.startswith(MARK)


def new_key() -> str:
    """Return a new random key, in base64."""
    return b64encode(secrets.token_bytes(KEY_BYTES)).decode()


NO_KEYS = Keyring()


@lru_cache(maxsize=8)
def _keyring(keys: str) -> Keyring:
    return Keyring(keys)


def _key_bytes(text: str) -> bytes:
    """Return the bytes of a key. No error shows any part of it."""
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else b64decode(_padded(text), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"a key in {VARIABLE} or `key` cannot be used: expected {KEY_BYTES} bytes in base64 or hexadecimal, and a "
            "comma between several keys. `mirror key` prints a new one"
        )
    return key


def _padded(text: str) -> str:
    """Return base64 of either alphabet as standard base64."""
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    return unpadded + "=" * (-len(unpadded) % 4)


def _key_id(key: bytes) -> bytes:
    return sha256(b"mirror key id " + key).digest()[:ID_BYTES]


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigurationError("encryption needs the extra: pip install 'mirror-graph[encryption]'") from error
    return AESGCM(key)


def _associated(place: tuple[str, ...]) -> bytes:
    return json.dumps(place).encode()
