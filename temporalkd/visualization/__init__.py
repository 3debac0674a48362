"""Pictures and videos of what a segmentation does over time."""

from temporalkd.visualization.flicker import MAX_SYSTEMS, flicker_frames, render_flicker
from temporalkd.visualization.overlay import colourise, default_palette, flips_in_red
from temporalkd.visualization.video import VideoWriter

__all__ = [
    "MAX_SYSTEMS",
    "VideoWriter",
    "colourise",
    "default_palette",
    "flicker_frames",
    "flips_in_red",
    "render_flicker",
]
