"""From a desired version to one that is loaded, warmed up and swapped in."""
