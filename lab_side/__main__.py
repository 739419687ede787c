"""``python -m lab_side`` is ``lab-agent``."""

from lab_side.start import main

if __name__ == "__main__":
    main()
