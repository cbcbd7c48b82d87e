"""`python -m remora.server` is the program of a replica; see `replica`."""

from remora.collector import collect_seldom

if __name__ == "__main__":
    collect_seldom()  # before what follows is imported
    from remora.server.replica import main

    raise SystemExit(main())
