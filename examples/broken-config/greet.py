"""Says hello, politely."""


def greet(name):
    """A greeting, for a stranger too."""
    return f"Hello, {name.strip() or 'stranger'}!"
