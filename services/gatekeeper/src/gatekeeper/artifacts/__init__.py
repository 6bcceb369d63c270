"""Model files, read without running anything of them."""
