"""Pure decisions: windows of the champion, and what a rollout's predictions add to its sums."""
