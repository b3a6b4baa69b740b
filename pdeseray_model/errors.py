"""What cannot be done, said so that the reader knows what to do about it."""


class UnusableError(Exception):
    """Something given to the network's room cannot be used.

    Parameters
    ----------
    expected, found, remedy : str
        What was needed, what was there instead (every mismatch, not the first one) and what to do.
    """

    def __init__(self, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"expected {expected}; found {found}; {remedy}")
        self.expected = expected
        self.found = found
        self.remedy = remedy


class DivergedError(UnusableError):
    """The training loss stopped being a number; the batch's radiograph ids lie in the run folder."""
