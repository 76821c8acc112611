"""Trained models: checkpoints with their cards, and the models that come with MAESIL."""
