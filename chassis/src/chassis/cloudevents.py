"""The contracts' CloudEvents under the chassis' name: what services import."""

from __future__ import annotations

from contracts.cloudevents import LONGEST, Encoded, Headers, Record, attributes, decode, encode, time_of

__all__ = ["LONGEST", "Encoded", "Headers", "Record", "attributes", "decode", "encode", "time_of"]
