"""Models and data sets for a purpose in a few words: of the catalogue, of this machine's folders and of the Hub."""

from resources.search.datasets import search_datasets
from resources.search.hits import Found, Hit
from resources.search.models import search_models

__all__ = ["Found", "Hit", "search_datasets", "search_models"]
