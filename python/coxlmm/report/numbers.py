"""Figures as they are read."""


def percent(share: float) -> str:
    """A share as it is read: "12%", "3.4%", "<0.1%", "0%", "−2.0%"."""
    if share < 0:
        return f"−{percent(-share)}"
    if share == 0:
        return "0%"
    if share < 0.001:
        return "<0.1%"
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def number(value: float) -> str:
    """Three figures or so, with the same number of decimals in any list of like values: 9.18, 11.2, 147, 0.0034."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if 0 < size < 0.1:
        return f"{value:.2g}"
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
