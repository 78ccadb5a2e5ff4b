"""Unknown images, and classes that nobody has named: points in, numbers out."""
