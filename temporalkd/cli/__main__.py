"""`python -m temporalkd.cli`, as processes of a training are started."""

from temporalkd.cli import main

if __name__ == "__main__":
    main()
