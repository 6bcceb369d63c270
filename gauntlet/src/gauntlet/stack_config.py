"""Configuration of a stack: its parts, ports, settings and folder."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gauntlet.components import KafkaPart, Part, ProcessPart
from gauntlet.endpoints import uri_prefixes
