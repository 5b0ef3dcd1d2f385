"""The other families."""

from compatibility.recipes import Family, Unavailable

FAMILIES: list[Family | Unavailable] = []
