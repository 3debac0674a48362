"""Pictures and videos of what a segmentation does over time."""

from temporalkd.render.flicker import MAX_SYSTEMS, flicker_frames, render_flicker
from temporalkd.render.layout import contact_sheet
from temporalkd.render.overlay import colourise, default_palette, flips_in_red
from temporalkd.render.video import VideoWriter

__all__ = [
    "MAX_SYSTEMS",
    "VideoWriter",
    "colourise",
    "contact_sheet",
    "default_palette",
    "flicker_frames",
    "flips_in_red",
    "render_flicker",
]
