"""Topics and filters of MQTT's kind, compared as each nucleus compares them.

Source: reference "greengrass-ipc" section 5, SubscribeToTopic; MQTT 3.1.1 section 4.7.
"""

from __future__ import annotations

from edgechess_nucleus.flavour import Flavour

Levels = tuple[str, ...]

LIMIT_BYTES = 65_535  # of MQTT: the length stands in two bytes


def levels(text: str, flavour: Flavour) -> Levels:
    """A topic or filter cut at its slashes."""
    parts = text.split("/")
    if not flavour.keeps_empty_levels:
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
    return tuple(parts)


def has_wildcard(filter_levels: Levels) -> bool:
    """Whole levels only: "a/b+" is an ordinary name."""
    return "+" in filter_levels or "#" in filter_levels


def matches(filter_levels: Levels, topic_levels: Levels, flavour: Flavour) -> bool:
    """`#` is a wildcard where it is the last level."""
    if filter_levels[-1] == "#":
        above = filter_levels[:-1]
        if len(topic_levels) == len(above) and not flavour.hash_matches_parent:
            return False
        topic_levels = topic_levels[: len(above)]
    else:
        above = filter_levels
    return len(above) == len(topic_levels) and all(
        level in ("+", part) for level, part in zip(above, topic_levels, strict=True)
    )


def covers(filter_levels: Levels, other: Levels) -> bool:
    """By MQTT's rules, whatever matches the other filter matches this one."""
    for number, level in enumerate(filter_levels):
        if level == "#":
            return True
        if number >= len(other) or other[number] == "#" or level not in ("+", other[number]):
            return False
    return len(filter_levels) == len(other)


def is_topic(text: str) -> bool:
    """MQTT would take it for a publish."""
    return 0 < len(text.encode()) <= LIMIT_BYTES and not any(character in text for character in "+#\0")


def is_filter(text: str) -> bool:
    """MQTT would take it for a subscription: wildcards are whole levels, and # the last one."""
    if not 0 < len(text.encode()) <= LIMIT_BYTES or "\0" in text:
        return False
    parts = text.split("/")
    return all(
        (part == "+" or "+" not in part) and ("#" not in part or (part == "#" and number == len(parts) - 1))
        for number, part in enumerate(parts)
    )
