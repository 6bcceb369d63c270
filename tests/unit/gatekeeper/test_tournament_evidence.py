"""A tournament is reached again from what was written down, to the last digit; another policy ends it otherwise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.policy import ModelPolicy
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.policy import tournament
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.replay import NoEvidence, TournamentReplay
from gatekeeper.sandbox.probe import Probe
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import EntrantPredictions, TournamentInput, TournamentResult
from support.evidence_world import POLICY, World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FOUR = POLICY.model_copy(update={"candidates": POLICY.candidates.model_copy(update={"retained": 4})})  # type: ignore[union-attr]


class Games(World):
    """Champion v1 is not good, v5 is, v4 is a little better than v1, v3 was trained on most rows, v2 broke."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        champion = self.scores()
        self.champion = np.where(self.random.random(len(champion)) < 0.6, self.random.permutation(champion), champion)

    def tournament_input(self) -> TournamentInput:
        n = len(self.rows.truth)
        known = Overlap(rows=10, masks={"exact": np.zeros(n, bool)}, shared={"exact": 0.0}, later=True)
        most = Overlap(rows=10, masks={"exact": np.arange(n) < n - 100}, shared={"exact": 0.0}, later=False)
        good = self.scores()
        fair = np.where(self.random.random(n) < 0.4, self.random.permutation(good), good)

        def old(days: int) -> str:
            return (NOW - timedelta(days=days)).isoformat()

        asked = (
            EntrantPredictions(5, old(1), answers(good), known),
            EntrantPredictions(4, old(20), answers(fair), known),
            EntrantPredictions(3, old(40), answers(good), most),
            EntrantPredictions(2, old(60), problem="on the golden rows it raised KeyError: 'a'"),
        )
        return TournamentInput(2, NOW.isoformat(), asked)

    def played(self, with_a_candidate: bool = False) -> tuple[Measurements, TournamentResult]:
        measurements = self.measurements(champion_answers=answers(self.champion))
        candidate = run_gates(measurements, FOUR) if with_a_candidate else ()
        field = self.tournament_input()
        settings = tournament.comparison(FOUR)
        assert settings is not None
        standing = comparison.rank(measurements, field, FOUR, settings)
        best = field.asked[0].answers
        assert standing.result.winner == 5 and best is not None and best.scores is not None
        soiled = {"noise": best.scores[golden_rows.chosen_rows(len(best.scores), 500)]}
        shown = best.scores[:3]
        probe = Probe(
            load_seconds=0.1,
            example_rows=3,
            first=shown,
            second=shown,
            golden=best.scores,
            dirty=soiled,
            seconds=(0.001,) * 50,
        )
        gated = self.measurements(champion_answers=answers(self.champion), probe=probe)
        gated.event = gated.event.model_copy(update={"model_version": 5})
        return measurements, TournamentResult(
            field, comparison.decide(measurements, field, standing, candidate, gated, FOUR), gated
        )

    def document(self, measurements: Measurements, played: TournamentResult) -> dict[str, Any]:
        with self.store.writing("m") as keep:
            found = evidence.write(measurements, FOUR, keep)
            found["tournament"] = comparison.write(played, FOUR, keep)
        return dict(json.loads(json.dumps(found, allow_nan=False)))


def answers(scores: np.ndarray) -> Predictions:
    return Predictions((scores >= 0.5).astype(np.int64), scores)


def asked_for(**changes: Any) -> ModelPolicy:
    return ModelPolicy.model_validate({**FOUR.model_dump(mode="json"), **changes})


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Games:
    return Games(tmp_path_factory.mktemp("games"))


@pytest.fixture(scope="module")
def document(games: Games) -> dict[str, Any]:
    return games.document(*games.played())


def test_it_is_reached_again_to_the_last_digit(games: Games, document: dict[str, Any]) -> None:
    then = document["tournament"]
    assert list(then["entrants"]) == ["5", "4"] and set(then["absent"]) == {"3", "2"}
    assert (then["best"], then["winner"], then["k"]) == (5, 5, 2), then["reason"]
    again = games.replayer.replay_tournament(document)
    assert again.agrees, (again.unknown, again.differences[:3])
    assert (again.then, again.now) == (5, 5)


def test_with_a_new_version_it_is_part_of_the_replay_of_its_verdict(games: Games) -> None:
    measurements, played = games.played(with_a_candidate=True)
    then, document = run_gates(measurements, FOUR), games.document(measurements, played)
    replayed = games.replayer.replay(document, then)
    assert replayed.agrees and replayed.tournament is not None
    document["tournament"]["entrants"]["5"]["n"] += 1
    forged = games.replayer.replay(document, then)
    assert not forged.agrees and not forged.differences, "it is the tournament that differs"


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("contest", "k"), 1, "tournament.entrants.5.details.alpha_k"),
        (("entrants", "4", "observed"), 0.99, "tournament.entrants.4.observed"),
        (("absent", "2"), "it was ill", "tournament.absent.2"),
        (("winner",), 4, "tournament.winner"),
    ],
)
def test_what_was_tampered_with_is_named(
    games: Games, document: dict[str, Any], path: tuple[str, ...], value: Any, where: str
) -> None:
    forged = json.loads(json.dumps(document))
    place = forged["tournament"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    again = games.replayer.replay_tournament(forged)
    assert not again.agrees and where in {each.where for each in again.differences}


def test_what_was_not_kept_is_said(games: Games, document: dict[str, Any]) -> None:
    old = json.loads(json.dumps(document))
    old["format"] = 1
    for key in ("contest", "gated", "k", "best", "gates"):
        del old["tournament"][key]
    again = games.replayer.replay_tournament(old)
    assert not again.agrees and "the answers of its entrants were not kept" in str(again.unknown)
    without = {key: value for key, value in document.items() if key != "tournament"}
    with pytest.raises(NoEvidence, match="no tournament was played"):
        games.replayer.replay_tournament(without)


def otherwise(games: Games, document: dict[str, Any], **changes: Any) -> TournamentReplay:
    return games.replayer.replay_tournament(document, asked_for(**changes))


def test_another_policy_ends_it_otherwise(games: Games, document: dict[str, Any]) -> None:
    none = otherwise(games, document, candidates="newest")
    assert (none.now, none.unknown) == (None, None) and "compares no retained" in str(none.reason)
    far = {"performance": {"rule": {"delta": 0.9}}}
    kept = otherwise(games, document, gates=far)
    assert (kept.now, kept.unknown) == (None, None) and "stays" in str(kept.reason)
    young = otherwise(games, document, candidates={"retained": 4, "max_age": "0.5d"})
    assert young.now is None and "none of 0" in str(young.reason)


def test_what_the_evidence_does_not_hold_is_said(games: Games, document: dict[str, Any]) -> None:
    more = otherwise(games, document, candidates={"retained": 9})
    assert "only the newest 4 earlier versions were asked then, not 9" in str(more.unknown)
    only = json.loads(json.dumps(document))
    only["tournament"]["contest"]["asked"] = only["tournament"]["contest"]["asked"][1:]
    ungated = otherwise(games, only, candidates={"retained": 1}, gates={"performance": {"alpha": 0.4}})
    assert "v4 would be the best, but its other gates were not run" in str(ungated.unknown)
    assert otherwise(games, document, problem="regression", metric="mae", gates={}).unknown


def test_a_policy_that_asked_nobody_cannot_say_who_would_have_won(games: Games) -> None:
    measurements, _ = games.played()
    newest = asked_for(candidates="newest")
    then = run_gates(measurements, newest)
    found = games.replayer.what_if(games.written(measurements, newest), then, FOUR).tournament
    assert found is not None and "no tournament was played then" in str(found.unknown)
    assert games.replayer.replay(games.written(measurements, newest), then).tournament is None
