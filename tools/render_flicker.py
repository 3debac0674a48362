"""Render up to four systems side by side, the flickering pixels in red: `python tools/render_flicker.py --help`."""

from temporalkd.cli import main_of

if __name__ == "__main__":
    main_of("render")
