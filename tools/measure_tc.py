"""Score predictions of any tool, or checkpoints, on a clip: `python tools/measure_tc.py --help`."""

from temporalkd.cli import main_of

if __name__ == "__main__":
    main_of("consistency")
