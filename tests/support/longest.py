"""How long the longest files of tests take: seconds on two cores, of `make test`; only their order matters."""

LONGEST: dict[str, int] = {}
