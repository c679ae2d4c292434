"""What goes wrong on the user's side. Without torch, so that the command line can say it at once."""


def printable(text: str) -> str:
    """The text with line breaks and control characters, which files may hold and terminals obey, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class InputError(Exception):
    """Something the user gave cannot be used: one sentence that names it and the next move. Exit code 2."""

    def __str__(self) -> str:
        return printable(super().__str__())


class SettingError(InputError, ValueError):
    """A setting cannot have the value that it was given."""


class Diverged(InputError):
    """A loss or a weight of a training is NaN or infinite."""


CALMER = "lower --lr or use --precision 32-true, and start again with --overwrite."
"""The next move where a training diverged."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: the work is saved and can be resumed. Exit code 130."""


def one_line(error: BaseException) -> str:
    """What a library says, short and without line breaks."""
    return " ".join(str(error).split())[:160] or type(error).__name__
