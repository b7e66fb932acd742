"""What happened, for tests to look at."""

notes = []


def note(text):
    notes.append(text)
