"""`python -m remora` is the same as `remora`."""

from remora.cli.main import main

if __name__ == "__main__":
    main()
