"""Entry point of `python -m pipeline`."""

from pipeline.commands.main import run_and_end

if __name__ == "__main__":
    run_and_end()
