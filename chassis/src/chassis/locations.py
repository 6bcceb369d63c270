"""Where MLflow has what a URI names, and whether a service may open it there.

Two questions: may an event name this address at all (`chassis.uris`), and is the place to which MLflow resolves it one
of the registry's own? Whoever may write to MLflow can give an experiment any location, such as a folder of this
machine; what is logged there would be read with the rights of this service.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from chassis.errors import NotFound, Refused
from chassis.uris import SETTING, Address, is_hidden, parse, problem_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_EXPERIMENT = "0"
"""Of every MLflow; its location is the server's artifact root, and a client cannot change it."""
BY_ID = ("models:", "runs:")
MOST_STEPS = 4
"""A version's source may be an address in a run, or another version's."""
DATABRICKS_ROOT = Address("dbfs", "", "/databricks")


class Locations:
    """Of one MLflow. Raises what the client raises."""

    def __init__(self, client: MlflowClient, tracking_uri: str, prefixes: tuple[Address, ...]) -> None:
        self._client = client
        self._tracking_uri = tracking_uri
        self._prefixes = prefixes

    def opened(self, uri: str) -> str:
        """Return the URI to open for `uri`. Raises Refused, and NotFound for what MLflow does not have.

        A file of this machine is returned with all links resolved.
        """
        problem = problem_of(uri, self._prefixes, self._tracking_uri)
        if problem is not None and not self._is_own(_address(uri)):
            raise Refused(problem)
        if uri.startswith(BY_ID) and not self._tracking_uri.startswith("databricks"):
            for location in self._resolved(uri):
                self._check_resolved(uri, location)
        address = _address(uri)
        return self._real(uri, address).as_uri() if address is not None and address.scheme == "file" else uri

    @cached_property
    def _root(self) -> Address | None:
        """The registry's own artifact root; None if clients do not see it, as where the server hands out all files."""
        from mlflow.exceptions import MlflowException

        if self._tracking_uri.startswith("databricks"):
            return DATABRICKS_ROOT
        try:
            root = _of_mlflow(self._client.get_experiment(DEFAULT_EXPERIMENT).artifact_location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # somebody deleted it for good
        if root is None or root.scheme == "mlflow-artifacts":
            return None
        path = PurePosixPath(root.path)
        path = path.parent if path.name == DEFAULT_EXPERIMENT else path
        is_all = root.scheme == "file" and path == PurePosixPath("/")
        return None if is_all else Address(root.scheme, root.authority, str(path))

    def _is_own(self, address: Address | None) -> bool:
        return address is not None and self._root is not None and address.is_below(self._root)

    def _resolved(self, uri: str, steps: int = 0) -> Iterator[str]:
        """Yield the locations that MLflow may read for `uri`, in full."""
        if steps == MOST_STEPS:
            raise Refused(f"{uri!r} is refused: MLflow resolves it in more than {MOST_STEPS} steps")
        name, _, path = uri.partition(":")[2].strip("/").partition("/")
        if uri.startswith("runs:"):
            location = self._client.get_run(name).info.artifact_uri or ""
            yield _joined(location, path)
            # A model that the run logged is looked for in the same experiment, next to its runs.
            yield location.removesuffix(f"/{name}/artifacts")
        elif uri.startswith("models:"):
            version, _, path = path.partition("/")
            found = (
                self._client.get_model_version_download_uri(name, version)
                if version
                else self._client.get_logged_model(name).artifact_location
            )
            yield from self._resolved(_joined(found or "", path), steps + 1)
        else:
            yield uri

    def _check_resolved(self, uri: str, location: str) -> None:
        address = _of_mlflow(location)
        if problem_of(location, self._prefixes, self._tracking_uri) is not None and not self._is_own(address):
            raise Refused(
                f"{uri!r} is refused: MLflow has it at {location!r}, outside its own artifact root and below no prefix"
                f" in {SETTING}; if that location is right, list it in that setting of this service"
            )
        if address is not None and address.scheme == "file":
            self._real(uri, address)
            if "%" in location:  # MLflow decodes the location, and not the path in a run
                self._real(uri, Address("file", "", location.removeprefix("file://")))

    def _real(self, uri: str, address: Address) -> Path:
        """Resolve links. Raises Refused for a file, or a folder with a file, that is elsewhere in truth."""
        real = Path(address.path).resolve()
        links = [each.resolve() for each in real.rglob("*") if each.is_symlink()] if real.is_dir() else []
        if not all(self._is_allowed_file(each) for each in (real, *links)):
            raise Refused(
                f"{uri!r} is refused: a symbolic link leads from it to another place; put the file itself there, or"
                f" list the folder that it is in, in {SETTING} of this service"
            )
        return real

    def _is_allowed_file(self, real: Path) -> bool:
        found = Address("file", "", str(real))
        listed = (
            Address("file", "", str(Path(each.path).resolve())) for each in self._prefixes if each.scheme == "file"
        )
        if any(found.is_below(prefix) and not is_hidden(found, prefix) for prefix in listed):
            return True
        root = self._root
        return root is not None and root.scheme == "file" and real.is_relative_to(Path(root.path).resolve())


def _address(uri: str) -> Address | None:
    try:
        return parse(uri)
    except ValueError:
        return None


def _of_mlflow(location: str) -> Address | None:
    """Parse a location as MLflow has it, which may be relative to the working directory; None if it is ambiguous."""
    if (found := _address(location)) is not None or "://" in location:
        return found
    return _address(str(Path(location.removeprefix("file:")).absolute()))


def _joined(location: str, path: str) -> str:
    if not location:
        raise NotFound("MLflow has no location for it")
    return f"{location.rstrip('/')}/{path}" if path else location
