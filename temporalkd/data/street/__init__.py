"""Synthetic driving streets: laid out by hashing, ray cast, with exact labels, motion and visibility."""

from temporalkd.data.street.street import PALETTE, Street, streets
from temporalkd.data.street.style import CLASSES

__all__ = ["CLASSES", "PALETTE", "Street", "streets"]
