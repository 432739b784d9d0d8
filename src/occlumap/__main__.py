"""`python -m occlumap` is the command `occlumap`."""

from occlumap.cli.main import run

if __name__ == "__main__":
    run()
