"""Several worker processes behind one port, and how they swap together."""
