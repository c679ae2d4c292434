"""What goes wrong on the user's side. Without torch, so that the command line can say it at once."""


class InputError(Exception):
    """Something the user gave cannot be used: one sentence that names it and the next move. Exit code 2."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: the work is saved and can be resumed. Exit code 130."""
