"""Learners for few labels on frozen features, and the pieces that they share."""
