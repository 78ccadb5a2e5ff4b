"""Plots, pictures, the report, TensorBoard."""
