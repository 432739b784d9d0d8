"""Text that is safe to print, whatever file it came from."""


def printable(text: str) -> str:
    """`text` with what would steer a terminal (escape sequences, line breaks) replaced by `?`.

    >>> printable("tabby" + chr(27) + "[2J")
    'tabby?[2J'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)
