"""`wpy r2`: the objects of the local R2 buckets, in wrangler's words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import storage_common as common
from wrangler_py.cli import storage_resources as resources
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, printable, result, result_json, table
from wrangler_py.cli.where import Where, on_state
from wrangler_py.config import snippets

if TYPE_CHECKING:
    from wrangler_py.bindings.r2 import R2Store
    from wrangler_py.bindings.r2_objects import R2Object
    from wrangler_py.cli.state import Project

app = command_group("Manage local R2 buckets and objects.")
objects = command_group("Objects: put, get, delete, list.")
buckets = command_group("The buckets themselves.")
app.add_typer(objects, name="object")
app.add_typer(buckets, name="bucket")

PathArgument = Annotated[str, typer.Argument(metavar="OBJECT_PATH", help="The object, in the form {bucket}/{key}.")]
JurisdictionOption = Annotated[
    str | None, typer.Option("--jurisdiction", "-J", help="Accepted; the local state has one place.")
]
_PIECE = 1 << 20


def _parsed(path: str) -> tuple[str, str]:
    bucket, slash, key = path.partition("/")
    if not bucket or not slash or not key:
        raise CommandError(f"The object path must be in the form of {{bucket}}/{{key}} you provided {printable(path)}")
    return bucket, key


def _bucket(project: Project, name: str) -> str:
    """The bucket of this name or binding: one that the config names, or that has a state. Raises CommandError."""
    from wrangler_py.bindings.files import r2_path

    found = [r2 for worker in project.workers for r2 in worker.r2_buckets]
    if any(r2.bucket_name == name for r2 in found):
        return name
    for r2 in found:
        if r2.binding == name:
            return r2.bucket_name
    if not project.workers or r2_path(project.folder, name).is_dir():
        return name
    new = snippets.entry(project.config_file, "r2_buckets", binding="NAME", bucket_name=name)
    listed = (r2.bucket_name if r2.bucket_name == r2.binding else f"{r2.bucket_name} ({r2.binding})" for r2 in found)
    raise CommandError(f'There is no bucket "{printable(name)}" in "r2_buckets".\n{common.there_are(listed, new)}')


@contextmanager
def _opened(project: Project, bucket: str, operation: str, *, to_read: bool = False) -> Iterator[R2Store | None]:
    """The bucket; None when it is only to be read and has never been written. Raises CommandError."""
    from wrangler_py.bindings.files import r2_path
    from wrangler_py.bindings.r2_objects import R2Error
    from wrangler_py.bindings.storage import open_r2

    path = r2_path(project.folder, bucket)
    with common.told(path):
        if to_read and not path.exists():
            yield None
            return
        common.make_folder(project)
        store = open_r2(project.folder, bucket, common.clock_of(project))
        try:
            yield store
        except R2Error as error:
            raise CommandError(error.text(operation)) from error
        finally:
            store.close()


@objects.command()
@on_state(local=True)
def put(
    object_path: PathArgument,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="The file to upload.")] = None,
    pipe: Annotated[bool, typer.Option("--pipe", "-p", help="Read the object from standard input.")] = False,
    content_type: Annotated[str | None, typer.Option("--content-type", "--ct", help="The type of the data.")] = None,
    content_disposition: Annotated[str | None, typer.Option("--content-disposition", "--cd")] = None,
    content_encoding: Annotated[str | None, typer.Option("--content-encoding", "--ce")] = None,
    content_language: Annotated[str | None, typer.Option("--content-language", "--cl")] = None,
    cache_control: Annotated[str | None, typer.Option("--cache-control", "--cc")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it is no longer cacheable (an HTTP date).")
    ] = None,
    storage_class: Annotated[str | None, typer.Option("--storage-class", "-s")] = None,
    force: Annotated[bool, typer.Option("--force", "-y", help="Accepted; there is nothing to confirm.")] = False,
    jurisdiction: JurisdictionOption = None,
    *,
    where: Where,
) -> None:
    """Create an object, or replace it."""
    with common.told():
        if (file is None) == (not pipe):
            raise CommandError("Either the --file or --pipe options are required." + (" Not both." if pipe else ""))
        name, key = _parsed(object_path)
        given = {
            "contentType": content_type,
            "contentDisposition": content_disposition,
            "contentEncoding": content_encoding,
            "contentLanguage": content_language,
            "cacheControl": cache_control,
            "cacheExpiry": None if expires is None else _date(expires),
        }
        http = {field: value for field, value in given.items() if value is not None}
        project = where.project()
        bucket = _bucket(project, name)
        with _source(file) as source, _opened(project, bucket, "put") as store:
            assert store is not None
            upload = store.begin_upload()
            try:
                while piece := source.read(_PIECE):
                    upload.write(piece)
                made = store.put(key, upload, http=http, storage_class=storage_class)
            finally:
                upload.discard()
        size = made.size if made is not None else 0
        result(f'Created object "{printable(key)}" in bucket "{bucket}" ({size:,} bytes).')


@contextmanager
def _source(file: Path | None) -> Iterator[IO[bytes]]:
    if file is None:
        yield sys.stdin.buffer
        return
    try:
        opened = file.open("rb")
    except OSError as problem:
        raise CommandError(f'The file "{file}" cannot be read: {problem.strerror}.') from problem
    with opened:
        yield opened


def _date(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (TypeError, ValueError) as error:
        example = '"Thu, 01 Jan 2026 00:00:00 GMT"'
        raise CommandError(f'--expires "{printable(text)}" is no HTTP date, for example {example}.') from error


@objects.command()
@on_state(local=True)
def get(
    object_path: PathArgument,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="The file to write; else the key's last part.")
    ] = None,
    pipe: Annotated[bool, typer.Option("--pipe", "-p", help="Write the object to standard output.")] = False,
    jurisdiction: JurisdictionOption = None,
    *,
    where: Where,
) -> None:
    """Fetch an object."""
    with common.told():
        name, key = _parsed(object_path)
        if file is not None and pipe:
            raise CommandError("--file and --pipe cannot both be given.")
        project = where.project()
        bucket = _bucket(project, name)
        with _opened(project, bucket, "get", to_read=True) as store:
            found = store.get(key) if store is not None else None
            made, reader = found or (None, None)
            if made is None or reader is None:
                raise CommandError(f'The specified key does not exist: "{printable(key)}" in bucket "{bucket}".')
            try:
                if pipe:
                    while piece := reader.read():
                        typer.echo(piece, nl=False)
                    return
                target = file or Path(key.rsplit("/", 1)[-1] or "object")
                # Beside its place first: a download that stops half way must not look like a whole one.
                unfinished = target.with_name(target.name + ".part")
                try:
                    with unfinished.open("wb") as out:
                        while piece := reader.read():
                            out.write(piece)
                    unfinished.replace(target)
                finally:
                    unfinished.unlink(missing_ok=True)
            finally:
                reader.close()
        result(f'Downloaded "{printable(key)}" from "{bucket}" to {target} ({made.size:,} bytes).')


@objects.command()
@on_state(local=True)
def delete(
    object_path: PathArgument,
    force: Annotated[bool, typer.Option("--force", "-y", help="Accepted; there is nothing to confirm.")] = False,
    jurisdiction: JurisdictionOption = None,
    *,
    where: Where,
) -> None:
    """Delete an object."""
    with common.told():
        name, key = _parsed(object_path)
        project = where.project()
        bucket = _bucket(project, name)
        with _opened(project, bucket, "delete", to_read=True) as store:
            if store is not None:
                store.delete(key)
        result(f'Deleted object "{printable(key)}" from bucket "{bucket}".')


@objects.command("list")
@on_state(local=True)
def list_objects(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="The bucket's name or binding.")],
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin like this.")] = "",
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="Sum up keys that have this behind the prefix.")
    ] = None,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the objects of a bucket. (wrangler has no such command.)"""
    with common.told():
        project = where.project()
        name = _bucket(project, bucket)
        found: list[R2Object] = []
        prefixes: list[str] = []
        with _opened(project, name, "list", to_read=True) as store:
            cursor: str | None = None
            while store is not None:
                page = store.list(prefix, delimiter=delimiter, cursor=cursor)
                found += page.objects
                prefixes += page.prefixes
                cursor = page.cursor
                if cursor is None:
                    break
        if as_json:
            result_json({"objects": [_described(made) for made in found], "delimitedPrefixes": prefixes})
        elif found or prefixes:
            rows = [(printable(p), "", "", "") for p in prefixes]
            rows += [
                (printable(o.key), f"{o.size:,}", _iso(o.uploaded_ms), str(o.http.get("contentType", "")))
                for o in found
            ]
            table(("KEY", "SIZE", "UPLOADED", "CONTENT TYPE"), rows, optional=("CONTENT TYPE", "UPLOADED"))
        else:
            result(f'No objects in bucket "{name}"' + (f' with the prefix "{printable(prefix)}".' if prefix else "."))


def _described(made: R2Object) -> dict[str, Any]:
    http = dict(made.http)
    if "cacheExpiry" in http:
        http["cacheExpiry"] = _iso(http["cacheExpiry"])
    return {
        "key": made.key,
        "size": made.size,
        "etag": made.etag,
        "version": made.version,
        "uploaded": _iso(made.uploaded_ms),
        "httpMetadata": http,
        "customMetadata": made.custom,
        "checksums": made.checksums,
        "storageClass": made.storage_class,
    }


def _iso(ms: int) -> str:
    from wrangler_py.session.times import iso

    return iso(ms)


@buckets.command("list")
@on_state()
def list_buckets(
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the buckets of the config."""
    with common.told():
        project = where.project()
        listed = []
        for worker in project.workers:
            for r2 in worker.r2_buckets:
                with _opened(project, r2.bucket_name, "list", to_read=True) as store:
                    count, size = (0, 0) if store is None else store.totals()
                listed.append(
                    {
                        "name": r2.bucket_name,
                        "binding": r2.binding,
                        "worker": worker.name,
                        "objects": count,
                        "bytes": size,
                    }
                )
        if as_json:
            result_json(listed)
        elif listed:
            table(
                ("NAME", "BINDING", "OBJECTS", "BYTES", "WORKER"),
                [
                    (str(b["name"]), str(b["binding"]), f"{b['objects']:,}", f"{b['bytes']:,}", str(b["worker"]))
                    for b in listed
                ],
            )
        else:
            result('No buckets: the config has no "r2_buckets".')


@buckets.command("create")
@on_state()
def create_bucket(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new bucket.")],
    binding: resources.NewBindingOption = None,
    location: resources.LocationOption = None,
    jurisdiction: JurisdictionOption = None,
    storage_class: Annotated[str | None, typer.Option("--storage-class", "-s", help="Accepted; not kept.")] = None,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Print what the config needs for a new bucket."""
    from wrangler_py.cli.queues_texts import binding_name
    from wrangler_py.config.limits_and_texts import BUCKET_NAME, BUCKET_NAMES

    with common.told():
        if BUCKET_NAME.fullmatch(name) is None:
            raise CommandError(f'The bucket name "{printable(name)}" is invalid. {BUCKET_NAMES}')
        project = where.project()
        if any(r2.bucket_name == name for worker in project.workers for r2 in worker.r2_buckets):
            raise CommandError(
                f"The bucket you tried to create already exists: '{name}' stands in the config. [code: 10004]"
            )
        entry = {"binding": binding or binding_name(name), "bucket_name": name}
        resources.created(project, "r2_buckets", entry, "R2 Bucket", f"r2 bucket create {name}", as_json=as_json)


@buckets.command("delete")
@on_state()
def delete_bucket(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="The name or binding of the bucket.")],
    jurisdiction: JurisdictionOption = None,
    *,
    where: Where,
) -> None:
    """Delete a bucket that is empty."""
    from wrangler_py.bindings.files import r2_path

    with common.told():
        project = where.project()
        name = _bucket(project, bucket)
        with _opened(project, name, "delete", to_read=True) as store:
            count = 0 if store is None else store.totals()[0]
        if count:
            raise CommandError(
                f"The bucket you tried to delete is not empty: '{name}' has {count:,} objects. [code: 10008]\n"
                "Delete them first: wpy r2 object delete " + name + "/KEY"
            )
        resources.delete_files(project, r2_path(project.folder, name))
        result(f"Deleted bucket '{name}'.")
