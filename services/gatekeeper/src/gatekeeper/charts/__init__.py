"""Pictures: SVG that is made here, with a title, a description, and the numbers in a table."""
