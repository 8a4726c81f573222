"""Rows of a data set cut into parts that can be worked on at once, and items into batches."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from pipeline.core.errors import UserError

Item = TypeVar("Item")


def part_rows(part: str, rows: int, shard: int) -> range:
    """Rows of a part such as ``"2-of-16"`` (Snakemake's scatter item, counted from 1).

    Parts are cut at multiples of ``shard``, so that no two of them share a shard; together
    they hold every row once, in order. Some are empty when there are more parts than shards.
    """
    words = re.fullmatch(r"(\d{1,6})-of-(\d{1,6})", part)
    number, count = map(int, words.groups()) if words else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"there is no part {part!r}: expected one like 2-of-16, counted from 1")
    shards = -(-rows // shard)
    first, last = (shards * k // count for k in (number - 1, number))
    return range(min(first * shard, rows), min(last * shard, rows))


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of ``size``, the last perhaps shorter, as Python 3.12 has it."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
