"""What a window is measured by: distances from the reference, and metrics of its labelled rows."""
