// Live updates: pages work without.
