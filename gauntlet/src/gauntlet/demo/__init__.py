"""The story that `gauntlet demo` plays on real data, each step checked."""
