"""Processes of this machine: forked from one that has the libraries imported, or started as programs."""
