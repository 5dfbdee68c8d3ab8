"""Orders of millions of records that take no memory: a permutation as a function.

A permutation of a thousand million records as an array takes 8 GB, and a mixture has one a component. A Feistel
network (Luby and Rackoff 1988) over the bits of an index is a bijection whatever its round function, and where it
leads outside it is followed until it comes back in (cycle walking, Black and Rogaway 2002).
"""

from hashlib import blake2b

_ROUNDS = 4  # what Luby and Rackoff need for permutations that cannot be told from random ones


class Order:
    """A permutation of `range(size)`, each place worked out when it is asked for, in some microseconds.

    Args:
        size: how many there are.
        key: another key is another permutation; the same on every machine.

    Raises:
        ValueError: for fewer than one.
    """

    def __init__(self, size: int, *key: int) -> None:
        if size < 1:
            raise ValueError(f"an order is of at least 1 record, got {size}")
        self.size = size
        self._half = max(1, -(-(size - 1).bit_length() // 2))  # bits of either half
        self._mask = (1 << self._half) - 1
        self._key = " ".join(map(str, key)).encode()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self.size:
            raise IndexError(f"place {place} in an order of {self.size}")
        index = self._scrambled(int(place))
        while index >= self.size:  # at most a factor of four above the size, so three turns or so
            index = self._scrambled(index)
        return index

    def _scrambled(self, index: int) -> int:
        left, right = index >> self._half, index & self._mask
        for turn in range(_ROUNDS):
            digest = blake2b(b"%d %d" % (turn, right), digest_size=8, key=self._key[:64]).digest()
            left, right = right, left ^ (int.from_bytes(digest) & self._mask)
        return left << self._half | right
