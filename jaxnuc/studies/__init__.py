"""Studies: several trainings, what is compared between them, and the table that comes of it."""

from jaxnuc.studies.study import Row, Study, folds, seeds

__all__ = ["Row", "Study", "folds", "seeds"]
