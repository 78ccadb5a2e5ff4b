"""Accuracy tables: methods, labels and seeds compared."""
