"""Data: sources, splits, the reveal of labels, and batches.

The public face of the sources; heavy imports happen when a source is read.
"""

from lll.data.download import Progress
from lll.data.peek import side_for, typical_side
from lll.data.sources import KINDS, SOURCES, describe, fetch, load_data
from lll.data.sources.arrays import from_arrays

__all__ = [
    "KINDS",
    "SOURCES",
    "Progress",
    "describe",
    "fetch",
    "from_arrays",
    "load_data",
    "side_for",
    "typical_side",
]
