"""The Python client, as commands use it: with their addresses and tokens, and failing as they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gauntlet.credentials import credential_for
from gauntlet.endpoints import Address
from gauntlet.errors import CliError
from gauntlet.service_client import refusal_of
from gauntlet_client import ClientError, Gauntlet, ServiceError, Unreachable


@contextmanager
def stack_client(gatekeeper: Address) -> Iterator[Gauntlet]:
    """Give a client of this gatekeeper. What it raises becomes a CliError, Unreachable with `SILENT` as its code."""
    credential = credential_for(gatekeeper.at)
    try:
        with Gauntlet(
            gatekeeper.at, token=credential.token if credential else None, data_dir=gatekeeper.data_dir
        ) as client:
            yield client
    except Unreachable as error:
        raise gatekeeper.silent(str(error.__cause__ or error.message)) from error
    except ServiceError as error:
        raise refusal_of(gatekeeper, credential, error.status, error.problem) from error
    except ClientError as error:
        raise CliError(error.message, error.hint) from error
