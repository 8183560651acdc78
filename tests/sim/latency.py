"""tmp"""

NEWS = 0.002
_V = {"GET": 0.002, "LIST": 0.004, "WATCH": 0.003}


def of(verb: str) -> float:
    return _V.get(verb, 0.006)
