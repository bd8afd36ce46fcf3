"""None yet."""


def models():
    return []
