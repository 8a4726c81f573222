"""Rows of a data set cut into parts that can be worked on at once."""


def part_rows(part: str, rows: int, shard: int) -> range:
    """Rows of a part such as ``"2-of-16"`` (Snakemake's scatter item, counted from 1).

    Parts are cut at multiples of ``shard``, so that no two of them share a shard; together
    they hold every row once, in order. Some are empty when there are more parts than shards.
    """
    number, count = (int(word) for word in part.split("-of-"))
    if not 1 <= number <= count:
        raise ValueError(f"part {part!r} is not one of 1-of-{count} to {count}-of-{count}")
    shards = -(-rows // shard)
    first, last = (shards * k // count for k in (number - 1, number))
    return range(min(first * shard, rows), min(last * shard, rows))
