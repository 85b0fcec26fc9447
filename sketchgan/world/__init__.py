"""Menagerie: small photographs of cats, horses and churches, rendered from scenes of which everything is known."""
from .scenes import CATEGORIES, PART_NAMES, PREDICATES, Menagerie, code_size, parameters, satisfies, targets_of

__all__ = ["CATEGORIES", "Menagerie", "PART_NAMES", "PREDICATES", "code_size", "parameters", "satisfies", "targets_of"]
