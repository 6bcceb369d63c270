"""The reference pages, generated from the code that they describe: `python -m docs.generate` (`make docs`)."""
