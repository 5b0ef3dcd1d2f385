"""What the library's own errors have in common."""


class CoxlmmError(Exception):
    """Something that was asked for cannot be had; the message says why, and what to do."""
