"""Which version of a rollout predicts a row: a pure function of the row's unit, the rollout's salt and the share.

Nothing is kept: every worker and replica, on whatever machine, computes the same. The first 8 bytes of
SHA-256(salt, NUL, unit), a big-endian integer, are below share × 2⁶⁴ in the arm of the tried version. So a share that
grows only adds units to that arm, and two rollouts, whose salts differ, divide the units independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256 as _sha256

from contracts import Arm

_RANGE = 2**64
_CHAMPION, _CHALLENGER = Arm.CHAMPION, Arm.CHALLENGER


def unit(entity_id: str | None, request_id: str, row: int) -> str:
    """Return what is assigned to an arm: the entity, so that it meets one version only; without one, the prediction.

    The latter by request and row, as in the id of its event: rows of one request without entities are independent, and
    the arms' sizes are those of a fair draw. A request that is sent again with its id meets the same versions.
    """
    return entity_id if entity_id is not None else f"{request_id}:{row}"


def arm(unit: str, salt: str, share: float) -> Arm:
    """Return the arm of a unit; `share`, from 0 to 1, of the units are in the tried version's."""
    return _arm(unit, _salted(salt), share * _RANGE)


def arms(entities: Sequence[str | None], request_id: str, rows: int, salt: str, share: float) -> list[Arm]:
    """Return the arm of each row of a request; `entities` has one item a row, or is empty."""
    salted, bound = _salted(salt), share * _RANGE
    if rows == 1:  # most requests: a loop would cost as much as the hash
        return [_arm(unit(entities[0] if entities else None, request_id, 0), salted, bound)]
    given = entities or [None] * rows
    return [_arm(unit(entity, request_id, row), salted, bound) for row, entity in enumerate(given)]


@lru_cache(maxsize=1024)
def _salted(salt: str) -> bytes:
    return f"{salt}\0".encode("utf-8", "surrogatepass")


def _arm(unit: str, salted: bytes, bound: float) -> Arm:
    digest = _sha256(salted + unit.encode("utf-8", "surrogatepass")).digest()
    return _CHALLENGER if int.from_bytes(digest[:8], "big") < bound else _CHAMPION
