"""Boards on which one edits instead of drawing: directions, photographs, mixtures of models, layouts."""
