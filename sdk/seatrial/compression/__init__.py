"""Compression: from a model and a recipe to a smaller model that every exporter takes."""
