"""The columns of the file that `Promoted.golden_predictions` names.

Each row is a golden row that the version was not trained on: its features under their own names, and these columns.
Labels and predictions are classes as their names, or numbers. A column that the rows do not have is left out.
"""

from __future__ import annotations

LABEL = "gauntlet.label"
PREDICTION = "gauntlet.prediction"
"""The predicted class or number."""
SCORE = "gauntlet.score"
"""The probability of the positive class, of a binary classifier with scores."""
ENTITY = "gauntlet.entity"
EVENT_TIME = "gauntlet.event_time"

OWN = frozenset({LABEL, PREDICTION, SCORE, ENTITY, EVENT_TIME})

MOST_ROWS = 20_000
