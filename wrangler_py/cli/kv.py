"""`wpy kv`: the keys of the local Workers KV namespaces, in wrangler's words."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import storage_common as common
from wrangler_py.cli import storage_resources as resources
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, printable, result, result_json
from wrangler_py.cli.where import Where, on_state
from wrangler_py.config import snippets

if TYPE_CHECKING:
    from wrangler_py.bindings.kv import KvEntry, KvKey, KvStore
    from wrangler_py.cli.state import Project

app = command_group("Manage local Workers KV namespaces.")
namespaces = command_group("The namespaces themselves.")
keys = command_group("Individually manage key-value pairs.")
bulk = command_group("Many key-value pairs at once.")
app.add_typer(namespaces, name="namespace")
app.add_typer(keys, name="key")
app.add_typer(bulk, name="bulk")

BindingOption = Annotated[str | None, typer.Option("--binding", metavar="NAME", help="The namespace's name in `env`.")]
NamespaceOption = Annotated[str | None, typer.Option("--namespace-id", metavar="ID", help="The namespace's id.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILENAME", help="A JSON file.")]
TtlOption = Annotated[int | None, typer.Option("--ttl", metavar="SECONDS", help="How long the entry stays.")]
ExpirationOption = Annotated[
    int | None, typer.Option("--expiration", metavar="SECONDS", help="When the entry expires, since the UNIX epoch.")
]
MetadataOption = Annotated[str | None, typer.Option("--metadata", metavar="JSON", help="JSON to keep with the key.")]


def _chosen(project: Project, binding: str | None, namespace: str | None) -> tuple[str, str]:
    """(id, how wrangler shows it). Raises CommandError."""
    found = [kv for worker in project.workers for kv in worker.kv_namespaces]
    new = snippets.entry(project.config_file, "kv_namespaces", binding="NAME", id="ID")
    there = common.there_are((kv.binding for kv in found), new)
    if (binding is None) == (namespace is None):
        raise CommandError(f"Exactly one of the arguments binding and namespace-id is required\n{there}")
    if namespace is not None:
        return namespace, f'id: "{namespace}"'
    for kv in found:
        if kv.binding == binding:
            return kv.id, f'binding: "{binding}" (id: "{kv.id}")'
    raise CommandError(
        f'A namespace with binding name "{printable(str(binding))}" was not found in the configured "kv_namespaces".\n'
        f"{there}"
    )


@contextmanager
def _opened(project: Project, namespace: str, *, to_read: bool = False) -> Iterator[KvStore | None]:
    """The namespace; None when it is only to be read and has never been written. Raises CommandError."""
    from wrangler_py.bindings.files import kv_path
    from wrangler_py.bindings.kv import KvError
    from wrangler_py.bindings.storage import open_kv

    path = kv_path(project.folder, namespace)
    with common.told(path):
        if to_read and not path.exists():
            yield None
            return
        common.make_folder(project)
        store = open_kv(project.folder, namespace, common.clock_of(project))
        try:
            yield store
        except KvError as error:
            raise CommandError(f"{error.reason} [code: {error.status}]") from error
        finally:
            store.close()


@keys.command()
@on_state(local=True, preview=True)
def put(
    key: KeyArgument,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The value.")] = None,
    path: Annotated[Path | None, typer.Option("--path", metavar="FILE", help="Read the value from a file.")] = None,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    ttl: TtlOption = None,
    expiration: ExpirationOption = None,
    metadata: MetadataOption = None,
    *,
    where: Where,
) -> None:
    """Write a single key-value pair."""
    with common.told():
        if (value is None) == (path is None):
            raise CommandError("Exactly one of the arguments value and path is required")
        data = (value or "").encode("utf-8", "surrogateescape") if path is None else common.read_file(path, "the file")
        _check_key(key)
        _check_json(metadata)
        project = where.project()
        namespace, shown = _chosen(project, binding, namespace_id)
        with _opened(project, namespace) as store:
            assert store is not None
            store.put(key, data, expiration=expiration, expiration_ttl=ttl, metadata=metadata)
        what = f'the value "{printable(value)}"' if value is not None else f'the contents of "{path}"'
        with_metadata = f' with metadata "{metadata}"' if metadata is not None else ""
        result(f'Wrote {what} to key "{printable(key)}" on namespace {shown}{with_metadata}.')


@keys.command()
@on_state(local=True, preview=True)
def get(
    key: KeyArgument,
    text: Annotated[bool, typer.Option("--text", help="Decode the value as UTF-8.")] = False,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    *,
    where: Where,
) -> None:
    """Print the value of a key, as it is."""
    with common.told():
        _check_key(key)
        project = where.project()
        namespace, _ = _chosen(project, binding, namespace_id)
        with _opened(project, namespace, to_read=True) as store:
            found = store.get(key) if store is not None else None
        if found is None:
            raise CommandError("Value not found")
        if text:
            typer.echo(found.value.decode("utf-8", "replace"))
        else:
            typer.echo(found.value, nl=False)


@keys.command("list")
@on_state(local=True, preview=True)
def list_keys(
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin like this.")] = "",
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List all keys, as JSON (as wrangler does, with or without --json)."""
    with common.told():
        project = where.project()
        namespace, _ = _chosen(project, binding, namespace_id)
        found: list[KvKey] = []
        with _opened(project, namespace, to_read=True) as store:
            cursor: str | None = None
            while store is not None:
                page = store.list(prefix, cursor)
                found += page.keys
                cursor = page.cursor
                if cursor is None:
                    break
        result_json([_key_object(key) for key in found])


def _key_object(key: KvKey) -> dict[str, Any]:
    made: dict[str, Any] = {"name": key.name}
    if key.expiration is not None:
        made["expiration"] = key.expiration
    if key.metadata is not None:
        made["metadata"] = json.loads(key.metadata)
    return made


@keys.command()
@on_state(local=True, preview=True)
def delete(
    key: KeyArgument,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    *,
    where: Where,
) -> None:
    """Remove a single key-value pair."""
    with common.told():
        _check_key(key)
        project = where.project()
        namespace, shown = _chosen(project, binding, namespace_id)
        with _opened(project, namespace, to_read=True) as store:
            if store is not None:
                store.delete(key)
        result(f'Deleted the key "{printable(key)}" on namespace {shown}.')


@bulk.command("put")
@on_state(local=True, preview=True)
def bulk_put(
    filename: FileArgument,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    ttl: TtlOption = None,
    expiration: ExpirationOption = None,
    metadata: MetadataOption = None,
    *,
    where: Where,
) -> None:
    """Write many pairs, all or none: [{"key", "value", "expiration"?, "expiration_ttl"?, "metadata"?, "base64"?}, ...]."""
    with common.told():
        _check_json(metadata)
        items = _json_list(filename)
        entries = [_entry(filename, i, item, ttl, expiration, metadata) for i, item in enumerate(items)]
        project = where.project()
        namespace, _ = _chosen(project, binding, namespace_id)
        with _opened(project, namespace) as store:
            assert store is not None
            store.put_many(entries)
        result("Success!")


@bulk.command("get")
@on_state(local=True, preview=True)
def bulk_get(
    filename: FileArgument,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    *,
    where: Where,
) -> None:
    """Print the values of the keys in a file, a JSON list of texts (or of {"name": key}), as a JSON object."""
    with common.told():
        wanted = _keys(filename)
        project = where.project()
        namespace, _ = _chosen(project, binding, namespace_id)
        values: dict[str, Any] = dict.fromkeys(wanted)
        with _opened(project, namespace, to_read=True) as store:
            for key in wanted if store is not None else ():
                found = store.get(key) if store is not None else None
                values[key] = None if found is None else found.value.decode("utf-8", "replace")
        result_json({key: {"value": value} for key, value in values.items()})


@bulk.command("delete")
@on_state(local=True, preview=True)
def bulk_delete(
    filename: FileArgument,
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not ask for confirmation.")] = False,
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    *,
    where: Where,
) -> None:
    """Delete the keys in a file, a JSON list of texts (or of {"name": key}); all or none."""
    with common.told():
        unwanted = _keys(filename)
        project = where.project()
        namespace, shown = _chosen(project, binding, namespace_id)
        question = f"Are you sure you want to delete all the keys read from {filename} from namespace {shown}?"
        if not force and sys.stdin.isatty() and not typer.confirm(question):
            raise typer.Exit(1)
        with _opened(project, namespace, to_read=True) as store:
            if store is not None:
                store.delete_many(unwanted)
        result("Success!")


@namespaces.command("list")
@on_state()
def list_namespaces(
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the namespaces of the config with their number of keys, as JSON (as wrangler does)."""
    with common.told():
        project = where.project()
        listed = []
        for worker in project.workers:
            for kv in worker.kv_namespaces:
                with _opened(project, kv.id, to_read=True) as store:
                    count = 0 if store is None else store.count()
                listed.append(
                    {"id": kv.id, "title": kv.binding, "binding": kv.binding, "worker": worker.name, "keys": count}
                )
        result_json(listed)


@namespaces.command("create")
@on_state(preview=True)
def create_namespace(
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="The name of the new namespace.")],
    binding: resources.NewBindingOption = None,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Print what the config needs for a new namespace."""
    from wrangler_py.cli.queues_texts import binding_name

    with common.told():
        project = where.project()
        entry = {"binding": binding or binding_name(namespace), "id": resources.new_namespace_id()}
        resources.created(
            project, "kv_namespaces", entry, "KV Namespace", f"kv namespace create {namespace}", as_json=as_json
        )


@namespaces.command("delete")
@on_state(preview=True)
def delete_namespace(
    binding: BindingOption = None,
    namespace_id: NamespaceOption = None,
    skip_confirmation: resources.SkipOption = False,
    *,
    where: Where,
) -> None:
    """Delete a namespace's keys, all of them."""
    from wrangler_py.bindings.files import kv_path

    with common.told():
        project = where.project()
        namespace, shown = _chosen(project, binding, namespace_id)
        resources.confirmed(f"Are you sure you want to delete KV namespace {shown}?", skip=skip_confirmation)
        there = resources.delete_files(project, kv_path(project.folder, namespace))
        result(f"Deleted KV namespace {shown}." if there else f"KV namespace {shown} held nothing.")


# Input ----------------------------------------------------------------------------------------------------------------


def _check_key(key: str) -> None:
    from wrangler_py.bindings.kv import KvError, check_named

    try:
        check_named(key)
        key.encode()
    except KvError as error:
        raise CommandError(error.reason) from error
    except UnicodeEncodeError as error:
        raise CommandError(f'The key "{printable(key)}" is not UTF-8.') from error


def _check_json(metadata: str | None) -> None:
    if metadata is not None:
        try:
            json.loads(metadata)
        except ValueError as error:
            raise CommandError(f"The metadata is not JSON: {error}.") from error


def _json_list(path: Path) -> list[Any]:
    from wrangler_py.bindings.limits import KV_MAX_BULK_WRITE

    try:
        items = json.loads(common.read_file(path, "the file"))
    except (ValueError, RecursionError) as error:
        raise CommandError(f'Could not parse "{path}" as JSON: {error}.') from error
    if not isinstance(items, list):
        raise CommandError(f'Unexpected JSON input from "{path}".\nExpected an array, but got {_kind(items)}.')
    if len(items) > KV_MAX_BULK_WRITE:
        raise CommandError(f'"{path}" has {len(items):,} items; a bulk write takes at most {KV_MAX_BULK_WRITE:,}.')
    return items


def _kind(value: Any) -> str:
    kinds = {dict: "an object", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _keys(path: Path) -> list[str]:
    found = []
    for i, item in enumerate(_json_list(path)):
        key = item.get("name") if isinstance(item, dict) else item
        if not isinstance(key, str):
            raise CommandError(
                f'Unexpected JSON input from "{path}".\n'
                f"Expected an array of strings or objects with a name.\nThe item at index {i} is {json.dumps(item)}"
            )
        _check_key(key)
        found.append(key)
    return found


#: wrangler's words for what an item of `kv bulk put` has to look like.
_SHAPE = """Each item in the array should be an object that matches:

interface KeyValue {
  key: string;
  value: string;
  expiration?: number;
  expiration_ttl?: number;
  metadata?: object;
  base64?: boolean;
}
"""


def _entry(path: Path, i: int, item: Any, ttl: int | None, expiration: int | None, metadata: str | None) -> KvEntry:
    from wrangler_py.bindings.kv import KvEntry

    problem = CommandError(
        f'Unexpected JSON input from "{path}".\n{_SHAPE}\nThe item at index {i} is {json.dumps(item)}'
    )
    if not isinstance(item, dict) or not isinstance(item.get("key"), str) or not isinstance(item.get("value"), str):
        raise problem
    for name in ("expiration", "expiration_ttl"):
        given = item.get(name)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int)):
            raise problem
    _check_key(item["key"])
    try:
        value = base64.b64decode(item["value"], validate=True) if item.get("base64") else item["value"].encode()
    except (binascii.Error, ValueError) as error:
        raise CommandError(f'"{path}": the value at index {i} is not base64 (or not UTF-8): {error}.') from error
    kept = metadata if item.get("metadata") is None else json.dumps(item["metadata"], ensure_ascii=False)
    own = item.get("expiration") is not None or item.get("expiration_ttl") is not None
    return KvEntry(
        item["key"],
        value,
        item.get("expiration") if own else expiration,
        item.get("expiration_ttl") if own else ttl,
        kept,
    )
