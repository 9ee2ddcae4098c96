"""Which destinations an instance goes to: patterns on who sent it and on what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_PRIORITY = 9
Priority = Annotated[int, Field(ge=0, le=MOST_PRIORITY)]
"""0 goes first."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules may ask about: decoded, empty where the instance has none. Not for logs."""

    calling_ae_title: str = ""
    called_ae_title: str = ""
    address: str = ""
    modality: str = ""
    station: str = field(default="", repr=False)
    body_part: str = ""
    description: tuple[str, ...] = field(default=(), repr=False)


def _checked_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError as error:
            raise ValueError("expected an IP address or a network such as 192.168.10.0/24") from error
    return values


Patterns = tuple[Annotated[str, Field(min_length=1, max_length=128)], ...]


class Match(BaseModel):
    """True where each of the fields that are given has a pattern that fits; `*` and `?` stand for anything.

    Upper and lower case are the same. `description` is that of study or series. `address` is an IP address
    or a network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calling_ae_title: Patterns = ()
    called_ae_title: Patterns = ()
    modality: Patterns = ()
    station: Patterns = ()
    body_part: Patterns = ()
    description: Patterns = ()
    address: Annotated[tuple[str, ...], AfterValidator(_checked_networks)] = ()

    @property
    def reads_header(self) -> bool:
        """True where it asks for what is in the instance's file alone."""
        return bool(self.station or self.body_part or self.description)

    def fits(self, facts: Facts) -> bool:
        """True where nothing is asked, too."""
        texts = (
            (self.calling_ae_title, (facts.calling_ae_title,)),
            (self.called_ae_title, (facts.called_ae_title,)),
            (self.modality, (facts.modality,)),
            (self.station, (facts.station,)),
            (self.body_part, (facts.body_part,)),
            (self.description, facts.description),
        )
        if not all(_any_fits(patterns, values) for patterns, values in texts if patterns):
            return False
        return not self.address or _is_within(facts.address, self.address)


class Rule(BaseModel):
    """What `include` fits, and nothing of `exclude` does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: Match = Match()
    exclude: tuple[Match, ...] = ()
    priority: Priority | None = None

    def fits(self, facts: Facts) -> bool:
        return self.include.fits(facts) and not any(match.fits(facts) for match in self.exclude)

    @property
    def reads_header(self) -> bool:
        return any(match.reads_header for match in (self.include, *self.exclude))


class Ruled(Protocol):
    """A destination, as far as rules go."""

    @property
    def name(self) -> str: ...
    @property
    def rules(self) -> tuple[Rule, ...]: ...
    @property
    def priority(self) -> int: ...


Matching = Literal["all", "first"]


def choose(destinations: Iterable[Ruled], facts: Facts, matching: Matching = "all") -> dict[str, int]:
    """The names of those that want the instance, in their order, and the priority it has there.

    A destination without rules wants all. Of several rules that fit, the first has its say. With `first`,
    only the first destination that wants it gets it.
    """
    chosen: dict[str, int] = {}
    for destination in destinations:
        priority = _priority_for(destination, facts)
        if priority is not None:
            chosen[destination.name] = priority
            if matching == "first":
                break
    return chosen


def needs_header(destinations: Sequence[Ruled]) -> bool:
    """True where a rule asks for what only the file tells."""
    return any(rule.reads_header for destination in destinations for rule in destination.rules)


def _priority_for(destination: Ruled, facts: Facts) -> int | None:
    if not destination.rules:
        return destination.priority
    for rule in destination.rules:
        if rule.fits(facts):
            return destination.priority if rule.priority is None else rule.priority
    return None


def _any_fits(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return any(_compiled(pattern).match(value.strip()) for pattern in patterns for value in values)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.strip()), re.IGNORECASE)


def _is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in ip_network(network) for network in networks)
