"""What is in the store room, kept in one JSON file."""

from stock.book import Book, Item

__all__ = ["Book", "Item"]
