"""What keeps a session from starting."""


class StartError(Exception):
    """The session cannot start. The text is for the terminal."""
