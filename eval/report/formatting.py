"""Text of numbers and table cells."""

from eval.report.section import Cell

HELD_OUT = "held-out real"  # the reference's test split
CEILING = f"{HELD_OUT} (ceiling)"


def cell_text(cell: Cell) -> str:
    """The text of a cell: an estimate with its interval, or the reason why it is missing."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        return number(cell)
    if cell.value is None:
        return str(cell.note)
    text = number(cell.value)
    if cell.low is not None and cell.high is not None:
        text += f" ({number(cell.low)} to {number(cell.high)})"
    return f"{text}, {cell.note}" if cell.note else text


def number(value: float) -> str:
    """Three decimals, or three digits below 0.1; with a typographic minus sign."""
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3f}" if size >= 0.1 else f"{size:.3g}"
    if size >= 100:
        text = f"{size:.1f}"
    return f"\u2212{text}" if value < 0 else text
