"""What a replica keeps of a model's rollout: where the tried version is called, and what it is compared with."""

from __future__ import annotations

from prometheus_client import Counter

from chassis.row_reader import InputBatch
from contracts import Arm
from serving.inference.model import LoadedModel
from serving.inference.prediction import Prediction
from serving.inference.tried import TrialStep, TriedRequest
from serving.loading.model_state import ActiveTrial, ActiveVersion
from serving.policy.deadline import Deadline
from serving.policy.trials import DesiredTrial
from serving.settings import Settings
from serving.trials.joining import Form, form_of, raw_form_of
from serving.trials.lane import Lane

TRIED = Counter(
    "gauntlet_serving_trial_rows_total",
    "Rows for the version that a rollout tries: predicted, failed, or left out while the replica was overloaded",
    ["model_name", "outcome"],
)


class Bench:
    """Of one tried version beside one champion. Keeps no model in memory."""

    def __init__(self, settings: Settings, trial: ActiveTrial, active: ActiveVersion) -> None:
        self.lane = Lane(settings)
        self.deadline = Deadline(settings.trial_seconds, settings.request_seconds)
        self._tried, self._champion = trial.desired.tried.artifact, active.desired.artifact
        self._trial: DesiredTrial | None = None
        self.step = _step_of(trial, active)
        name = active.desired.artifact.model_name
        self.answered = trial.version.rows
        self.predicted, self.failed, self.left_out = (
            TRIED.labels(name, outcome) for outcome in ("predicted", "failed", "left out")
        )
        self._form: Form | None = None
        """Of the champion's predictions."""
        self._raw_form: Form | None = None
        mine, theirs = active.model.signature, trial.version.model.signature
        self._has_same_classes = mine.classes == theirs.classes
        self._takes_same_rows = mine.columns == theirs.columns and mine.is_tensor == theirs.is_tensor

    def is_of(self, trial: ActiveTrial, active: ActiveVersion) -> bool:
        """Return whether the versions are the same, in whatever step; then `step` is that of `trial`."""
        if self._trial is trial.desired and self._champion is active.desired.artifact:
            return True
        if self._tried != trial.desired.tried.artifact or self._champion != active.desired.artifact:
            return False
        self._trial, self._champion = trial.desired, active.desired.artifact
        self.step = _step_of(trial, active)
        return True

    def count(self, rows: int, tried: TriedRequest) -> None:
        """Count the rows of a request that were for the tried version."""
        left = rows if tried.arms is None else 0
        for outcome in tried.outcomes:
            if outcome.arm is Arm.CHALLENGER:
                number = rows if outcome.rows is None else len(outcome.rows)
                (self.predicted if outcome.error is None else self.failed).inc(number)
                left -= number
        if left > 0:
            self.left_out.inc(left)

    def rows_for(self, tried: LoadedModel, table: InputBatch) -> InputBatch:
        """Return rows, read as the champion's, as the tried version's: of what was sent, the columns that it takes.

        Raises RowsRefused.
        """
        if self._takes_same_rows:
            return table
        knows = tried.reader.knows
        rows = [{name: value for name, value in row.items() if knows(name)} for row in table.sent]
        return tried.reader.read(rows, len(rows))

    def note(self, prediction: Prediction, seconds: float, *, with_raw: bool) -> None:
        """Learn from a prediction of the champion, and what it took."""
        self.deadline.note(seconds)
        if self._form is None:
            self._form = form_of(prediction)
        if with_raw and self._raw_form is None:
            self._raw_form = raw_form_of(prediction.raw)

    def difference(self, prediction: Prediction, *, with_raw: bool) -> str | None:
        """Return why a client cannot take the tried version's prediction for the champion's; None when it can."""
        if not self._has_same_classes and prediction.scores and isinstance(prediction.scores[0], list):
            return "its scores are of other classes than the champion's"
        pairs = [(form_of(prediction), self._form)]
        if with_raw:
            pairs.append((raw_form_of(prediction.raw), self._raw_form))
        for form, expected in pairs:
            if expected is not None and form != expected:
                return f"its predictions are of another form: {_in_words(form)}; the champion's: {_in_words(expected)}"
        return None


def _step_of(trial: ActiveTrial, active: ActiveVersion) -> TrialStep:
    desired = trial.desired
    versions = active.desired.artifact.model_version, desired.tried.artifact.model_version
    return TrialStep(desired.rollout_id, desired.step, *versions)


def _in_words(form: Form) -> str:
    return ", ".join(map(str, form))
