"""The stock book: items with a count, read from and written to a file."""

import json
from dataclasses import asdict, dataclass


@dataclass
class Item:
    """One kind of thing and how many there are."""

    name: str
    count: int


class Book:
    """All items of a store room."""

    def __init__(self, path):
        self.path = path
        self.items = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.items = {item["name"]: Item(**item) for item in json.load(file)}

    def add(self, name, count):
        """Adds to an item, which need not exist yet. A count below zero is refused."""
        item = self.items.setdefault(name, Item(name, 0))
        if item.count + count < 0:
            raise ValueError(f"only {item.count} of {name} are left")
        item.count += count

    def save(self):
        """Writes the file beside the old one and then takes its place, so that a crash leaves one of the two."""
        partial = f"{self.path}.partial"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump([asdict(item) for item in self.items.values()], file)
        os.replace(partial, self.path)
