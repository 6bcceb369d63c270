"""`gauntlet keys create`, `rotate`, `list` and `retire`: the keys that sign decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, print_json, print_listing

if TYPE_CHECKING:
    from gauntlet.key_folder import Key, KeySettings

app = typer.Typer(no_args_is_help=True, help="Keys that sign the gatekeeper's decisions, and that readers trust.")

KeysFolder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        "--output",
        metavar="DIR",
        file_okay=False,
        help="Folder of the keys; default: keys in the data directory.",
    ),
]
COLUMNS = {
    "id": "id",
    "since": "since (UTC)",
    "file": "public key",
    "private": "private key",
    "signs": "signs",
    "trusted_by": "trusted by",
}


@app.command("create")
def create(output: KeysFolder = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Make the first key: the private half is for the gatekeeper only, the public half for who verifies."""
    from gauntlet import key_folder

    folder = _folder(output, data_dir)
    if existing := key_folder.keys_of(folder):
        raise CliError(
            f"{folder} has a key already: {existing[-1].key_id}", "Replace it without a gap: gauntlet keys rotate"
        )
    made = key_folder.create(folder)
    if as_json:
        print_json(_shown(made, key_folder.KeySettings()))
        return
    _say(
        f"key {made.key_id}",
        f"1. Start the gatekeeper with GATEKEEPER_SIGNING_KEY={_private(made)}. It signs what it decides from now on, "
        "and publishes the decisions that are in force again, signed.",
        f"2. Give {made.public} to every replica: in a folder of its own, SERVING_TRUSTED_KEYS. Then set "
        "GATEKEEPER_TRUSTED_KEYS to such a folder, too.",
        "3. gauntlet verify-topic shows what on the topics is signed.",
    )


@app.command("rotate")
def rotate(output: KeysFolder = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Make a new key, and say in which order it replaces the one that signs; the old one stays trusted until then."""
    from gauntlet import key_folder

    folder, settings = _folder(output, data_dir), key_folder.KeySettings()
    before = key_folder.keys_of(folder)
    if not before:
        raise CliError(f"{folder} has no key that could be replaced", "Make the first one: gauntlet keys create")
    made = key_folder.create(folder)
    if as_json:
        print_json(_shown(made, settings))
        return
    folders = settings.trusting()
    where = " and ".join(f"{path} ({name})" for name, path in folders.items()) or "every folder of trusted keys"
    old = ", ".join(key.key_id for key in before)
    _say(
        f"key {made.key_id}; trusted besides: {old}",
        f"1. Copy {made.public} to {where}. Restart the gatekeeper, which reads its folder when it starts.",
        f"2. Start every gatekeeper with GATEKEEPER_SIGNING_KEY={_private(made)}. It publishes what is in force again, "
        "signed with the new key.",
        f"3. When `gauntlet verify-topic --newest --keys DIR`, with only {made.public.name} in DIR, finds nothing: "
        f"gauntlet keys retire {before[-1].key_id}",
        "In this order no reader ever lacks the key of a decision.",
    )


@app.command("list")
def listing(output: KeysFolder = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the keys: which one signs, and who trusts which, by the settings of this environment and `.env`."""
    from gauntlet import key_folder

    folder, settings = _folder(output, data_dir), key_folder.KeySettings()
    rows = [_shown(key, settings) for key in key_folder.keys_of(folder)]
    known = {row["id"] for row in rows}
    for service, trusted in settings.trusting().items():
        for key in key_folder.keys_of(trusted):
            if key.key_id not in known:
                rows.append(_shown(key, settings))
                known.add(key.key_id)
        if not trusted.is_dir():
            raise CliError(f"{trusted} is no folder", f"It is named by {service.upper()}_TRUSTED_KEYS.")
    shown = rows if as_json else [{**row, "signs": "yes" if row["signs"] else None} for row in rows]
    shown = shown if as_json else [{**row, "trusted_by": ", ".join(row["trusted_by"]) or None} for row in shown]
    empty = f"no keys in {folder}: gauntlet keys create"
    print_listing(shown, COLUMNS, as_json=as_json, empty=empty)


@app.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, or its beginning.")],
    output: KeysFolder = None,
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete a private key, and take its public half out of the folder of trusted ones."""
    from gauntlet import key_folder

    folder, settings = _folder(output, data_dir), key_folder.KeySettings()
    key = key_folder.find(folder, key_id)
    if key.key_id == key_folder.signing_id(settings):
        raise CliError(
            f"{key.key_id} is the key that signs: GATEKEEPER_SIGNING_KEY={settings.signing_key}",
            "Replace it first: gauntlet keys rotate",
        )
    if len(key_folder.keys_of(folder)) == 1:
        raise CliError(f"{key.key_id} is the only key in {folder}", "Replace it first: gauntlet keys rotate")
    kept = key_folder.retire(folder, key)
    others = {
        name: each.public
        for name, path in settings.trusting().items()
        for each in key_folder.keys_of(path)
        if each.key_id == key.key_id
    }
    if as_json:
        print_json({"id": key.key_id, "kept": kept, "still_trusted_in": others})
        return
    console().print(f"retired {key.key_id}; its public key is {kept}", markup=False, soft_wrap=True)
    for name, path in others.items():
        console().print(f"Remove {path}: {name} still trusts it.", markup=False, soft_wrap=True)


def _folder(output: Path | None, data_dir: Path) -> Path:
    return output or data_dir / "keys"


def _private(key: Key) -> Path:
    assert key.private is not None
    return key.private.absolute()


def _shown(key: Key, settings: KeySettings) -> dict[str, Any]:
    from gauntlet.key_folder import keys_of, signing_id

    trusting = [
        name for name, path in settings.trusting().items() if key.key_id in {each.key_id for each in keys_of(path)}
    ]
    signs = key.key_id == signing_id(settings)
    if signs and settings.gatekeeper_trusts is not None and "gatekeeper" not in trusting:
        trusting.insert(0, "gatekeeper")  # its own
    return {
        "id": key.key_id,
        "since": key.since,
        "file": str(key.public),
        "private": None if key.private is None else str(key.private),
        "signs": signs,
        "trusted_by": trusting,
    }


def _say(*lines: str) -> None:
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
