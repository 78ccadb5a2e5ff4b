"""Losses: pure functions of tensors, one per file. None sees what it was not handed."""
