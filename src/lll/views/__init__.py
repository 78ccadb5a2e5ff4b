"""Weak and strong views of images, on the device."""
