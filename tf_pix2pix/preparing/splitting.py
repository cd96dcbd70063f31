"""Which pairs go to train, to val and to test: by name alone, and with those of one group kept together."""

import hashlib
import re
from collections.abc import Sequence

from tf_pix2pix.errors import InputError, format_list


def group_of(names: Sequence[str], pattern: str | None) -> dict[str, list[str]]:
    """Groups names by what a regular expression finds in them: its groups in parentheses, or the whole match.

    Without a pattern each name is a group.

    Raises:
      InputError: the pattern is no regular expression, or does not match some names.
    """
    if pattern is None:
        return {name: [name] for name in names}
    try:
        found = {name: re.search(pattern, name) for name in names}
    except re.error as error:
        raise InputError(f"--group={pattern} is no regular expression: {error}") from None
    if unmatched := [name for name, match in found.items() if match is None]:
        raise InputError(
            f"--group={pattern} is not found in {len(unmatched)} of {len(names)} names: {format_list(unmatched)}; widen the "
            "pattern or rename these"
        )
    groups: dict[str, list[str]] = {}
    for name, match in found.items():
        groups.setdefault("\0".join(part or "" for part in match.groups()) or match[0], []).append(name)
    return groups


def wanted_counts(total: int, fractions: Sequence[float] | None, counts: Sequence[int | None] | None) -> list[int]:
    """So many pairs for each split, by fractions of the total, or by counts, of which one may be None: the rest.

    Raises:
      InputError: they are not as many as there are pairs.
    """
    if counts is None:
        if any(fraction < 0 for fraction in fractions) or not abs(sum(fractions) - 1) <= 1e-6:  # nan too
            raise InputError(f"--fractions={','.join(map(str, fractions))}: they must be 0 or more, and 1 in all")
        ends = [round(total * sum(fractions[: number + 1])) for number in range(len(fractions))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]
    rest = total - sum(count for count in counts if count is not None)
    said = ",".join("rest" if count is None else str(count) for count in counts)
    if any(count is not None and count < 0 for count in counts) or counts.count(None) > 1:
        raise InputError(f"--counts={said}: whole numbers from 0, and at most one of them 'rest'")
    if rest < 0 or (rest and None not in counts):
        raise InputError(f"--counts={said} do not add up: there are {total} pairs; one number may be 'rest'")
    return [rest if count is None else count for count in counts]


def assign(groups: dict[str, list[str]], wanted: Sequence[int], seed: int) -> list[list[str]]:
    """The names for each split, in their order; as many as wanted where groups are single, else as near as they allow.

    Groups are taken in the order of a hash of seed and name, so that a group's place hangs on nothing else than the
    names; each goes where most are still wanted.

    Raises:
      InputError: a split that names are wanted for would get none.
    """
    left = list(wanted)
    chosen: list[list[str]] = [[] for _ in wanted]
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest()):
        split = max(range(len(left)), key=lambda split: left[split])
        chosen[split] += groups[group]
        left[split] -= len(groups[group])
    if any(count and not names for count, names in zip(wanted, chosen, strict=True)):
        got = ", ".join(f"{len(names)} (of {count} wanted)" for count, names in zip(wanted, chosen, strict=True))
        raise InputError(
            f"{len(groups)} groups of {sum(wanted)} pairs cannot be shared like this: train, val and test would get "
            f"{got}; change the fractions or counts, or the seed, or group by something finer"
        )
    return [sorted(names) for names in chosen]
