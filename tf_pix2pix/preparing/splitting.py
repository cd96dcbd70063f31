"""Assigns pairs to train, val and test by their names alone, and keeps groups together."""

import hashlib
import re
from collections.abc import Sequence

from tf_pix2pix.errors import InputError, format_list


def group_names(names: Sequence[str], pattern: str | None) -> dict[str, list[str]]:
    """Groups names by the match of a regular expression: its parts in parentheses, or the whole match.

    Args:
      pattern: None: each name is a group of its own.

    Raises:
      InputError: the pattern is not a regular expression, or it does not match some names.
    """
    if pattern is None:
        return {name: [name] for name in names}
    try:
        found = {name: re.search(pattern, name) for name in names}
    except re.error as error:
        raise InputError(f"--group={pattern}: not a regular expression ({error}); correct it") from None
    if unmatched := [name for name, match in found.items() if match is None]:
        problem = f"does not match {len(unmatched)} of {len(names)} names, {format_list(unmatched)}"
        raise InputError(f"--group={pattern}: {problem}; widen the pattern or rename these")
    groups: dict[str, list[str]] = {}
    for name, match in found.items():
        groups.setdefault("\0".join(part or "" for part in match.groups()) or match[0], []).append(name)
    return groups


def wanted_counts(total: int, fractions: Sequence[float] | None, counts: Sequence[int | None] | None) -> list[int]:
    """Returns the number of pairs for each split.

    Args:
      total: number of pairs.
      fractions: of the total, if counts is None.
      counts: the numbers themselves; one may be None, the rest.

    Raises:
      InputError: the numbers do not add up to the total.
    """
    if counts is None:
        if any(fraction < 0 for fraction in fractions) or not abs(sum(fractions) - 1) <= 1e-6:  # nan too
            raise InputError(f"--fractions={','.join(map(str, fractions))}: must be 0 or more and add up to 1")
        ends = [round(total * sum(fractions[: number + 1])) for number in range(len(fractions))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]
    rest = total - sum(count for count in counts if count is not None)
    given = ",".join("rest" if count is None else str(count) for count in counts)
    if any(count is not None and count < 0 for count in counts) or counts.count(None) > 1:
        raise InputError(f"--counts={given}: must be whole numbers from 0, at most one of them 'rest'")
    if rest < 0 or (rest and None not in counts):
        raise InputError(f"--counts={given}: must add up to {total}, the number of pairs; one number may be 'rest'")
    return [rest if count is None else count for count in counts]


def assign(groups: dict[str, list[str]], wanted: Sequence[int], seed: int) -> list[list[str]]:
    """Returns the sorted names of each split: as many as wanted, or as near to that as groups allow.

    Groups are assigned in the order of a hash of the seed and their name, so that the result depends on nothing else.
    Each goes to the split that lacks most.

    Raises:
      InputError: a split would be empty although pairs are wanted for it.
    """
    left = list(wanted)
    chosen: list[list[str]] = [[] for _ in wanted]
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest()):
        split = max(range(len(left)), key=lambda split: left[split])
        chosen[split] += groups[group]
        left[split] -= len(groups[group])
    if any(count and not names for count, names in zip(wanted, chosen, strict=True)):
        sizes = ", ".join(f"{len(names)} (of {count} wanted)" for count, names in zip(wanted, chosen, strict=True))
        advice = "change --fractions, --counts or --seed, or choose a finer --group"
        raise InputError(f"{len(groups)} groups of {sum(wanted)} pairs: the splits would get {sizes}; {advice}")
    return [sorted(names) for names in chosen]
