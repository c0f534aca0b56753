"""Packs, converted networks and requests that are spoiled, and sealed anew as an attacker would."""

import hashlib
import json
import re
import zipfile
from pathlib import Path
from random import Random

from features.disk import sealed
from features.disk.sealed import write_note
from pipeline.predictors.kit import NOTE
from tests.hostile.spoiling import NAMES, NUMBERS, spoil_bytes, spoil_json
from tests.hostile.spoiling_archives import spoil_npz, spoil_zip


def spoil_pack(path: Path, random: Random) -> None:
    """Change one file of a pack; mostly its note is made to fit."""
    with zipfile.ZipFile(path) as pack:
        members = {info.filename: pack.read(info) for info in pack.infolist()}
    name = random.choice(sorted(members))
    members[name] = _spoiled(name, members[name], path.with_name("part.npz"), random)
    if name != NOTE and random.random() < 0.85:
        note = json.loads(members[NOTE])
        note.pop("seal")
        note["files"][name] = hashlib.sha256(members[name]).hexdigest()
        for record in [other for other in members if other.endswith("record.json")]:
            if name != record and (old := _sha256_in(members[record])):
                new = hashlib.sha256(members[name]).hexdigest()
                if name.endswith("model.skops"):
                    members[record] = members[record].replace(old, new.encode())
                    note["files"][record] = hashlib.sha256(members[record]).hexdigest()
        members[NOTE] = json.dumps(sealed.sealed(note)).encode()
    if name.startswith("network/") and random.random() < 0.9:
        _seal_network(members, random)
    with zipfile.ZipFile(path, "w") as pack:
        for member, data in members.items():
            pack.writestr(member, data)
    if random.random() < 0.05:
        path.write_bytes(spoil_bytes(path.read_bytes(), random))


def _sha256_in(record: bytes) -> bytes:
    """Return the checksum of the model that a record names."""
    try:
        return str(json.loads(record)["model"]["sha256"]).encode()
    except (ValueError, KeyError, TypeError):
        return b""


def _seal_network(members: dict[str, bytes], random: Random) -> None:
    """Make the notes of a packed network, and of the pack, fit to what is there."""
    folder = next(name for name in members if name.endswith("/note.json")).rpartition("/")[0]
    inner = {
        "key": folder.rpartition("/")[2],
        "files": {
            name.rpartition("/")[2]: hashlib.sha256(data).hexdigest()
            for name, data in members.items()
            if name.startswith(folder) and not name.endswith("note.json")
        },
    }
    members[f"{folder}/note.json"] = json.dumps(sealed.sealed(inner)).encode()
    try:
        note = json.loads(members[NOTE])
        note.pop("seal", None)
        for name in members:
            if name != NOTE:
                note["files"][name] = hashlib.sha256(members[name]).hexdigest()
    except (ValueError, KeyError, TypeError):
        return
    members[NOTE] = json.dumps(sealed.sealed(note)).encode()


def _spoiled(name: str, data: bytes, scratch: Path, random: Random) -> bytes:
    """Return a file spoiled within its format, or byte by byte."""
    if random.random() < 0.15:
        return spoil_bytes(data, random)
    if name.endswith(".xml"):
        return spoil_xml(data, random)
    if name.endswith(".json"):
        text = spoil_json(data.decode(), random).encode(errors="surrogatepass")
        return _sealed_text(text) if name == NOTE and random.random() < 0.8 else text
    spoil = {"npz": spoil_npz, "skops": spoil_zip}.get(name.rpartition(".")[2])
    if spoil is None:
        return spoil_bytes(data, random)
    scratch.write_bytes(data)
    try:
        spoil(scratch, random)
        return scratch.read_bytes()
    finally:
        scratch.unlink()


def _sealed_text(text: bytes) -> bytes:
    try:
        values = json.loads(text)
        values.pop("seal", None)
        return json.dumps(sealed.sealed(values)).encode()
    except (ValueError, AttributeError, RecursionError):
        return text


def spoil_xml(data: bytes, random: Random) -> bytes:
    """Change numbers, names or elements of a network that OpenVINO keeps."""
    text = data.decode()
    for _ in range(random.choice([1, 1, 2, 5])):
        found = list(re.finditer(r'"[^"]*"|<dim>\d+</dim>|<[a-z_]+[^>]*/?>', text))
        if not found:
            break
        place = random.choice(found)
        old = place.group()
        if old.startswith('"'):
            new = f'"{random.choice([*NUMBERS, *_OF_NETWORKS, *NAMES[:12]])}"'
        elif old.startswith("<dim>"):
            new = f"<dim>{random.choice([0, 1, -1, 2**31, 2**62, 7])}</dim>"
        else:
            new = random.choice(["", old + old, "<layer/>", "<!--"])
        text = text[: place.start()] + new + text[place.end() :]
    return text.encode(errors="replace")


_OF_NETWORKS = ("f32", "i64", "u1", "string", "dynamic", "Result", "Parameter", "Const", "MatMul", "TopK",
                "If", "Loop", "opset1", "opset13", "extension", "1,2,3", "-1,-1")  # fmt: skip


def spoil_converted(path: Path, random: Random) -> None:
    """Change a file of a converted network; mostly its note is made to fit."""
    if path.suffix == ".xml":
        path.write_bytes(spoil_xml(path.read_bytes(), random))
    elif path.suffix == ".json":
        path.write_bytes(_sealed_text(spoil_json(path.read_text(), random).encode()))
    else:
        path.write_bytes(spoil_bytes(path.read_bytes(), random))
    if random.random() < 0.8 and path.suffix != ".json":
        write_note(path.parent, path.parent.name, ["network.xml", "network.bin"])


def spoil_request(path: Path, random: Random) -> None:
    """Change the head, a boundary, a part or an image of a request."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    way = random.randrange(6)
    if way == 0:
        head = random.choice([b"", b"multipart/form-data", b"image/png", b"application/json", head + b"; x",
                              b"multipart/form-data; boundary=" + random.choice([b"", b"x" * 300, b"\xff"]),
                              head.replace(b"boundary", b"BOUNDARY"), head[: len(head) // 2]])  # fmt: skip
    elif way == 1:
        names = [name for name in NAMES if "\n" not in name and "\0" not in name]
        body = body.replace(b"photo", random.choice(names).encode())
    elif way == 2:
        part = body[: body.find(b"\r\n--", 1) + 2]
        body = part * random.choice([2, 30, 100]) + body
    elif way == 3:
        lines = [b"Content-Disposition: form-data", b"Content-Transfer-Encoding: base64", b"X: " + b"y" * 9000,
                 b"Content-Disposition: form-data; name=\"\"", b"Content-Type: text/html", b":", b"\0"]  # fmt: skip
        body = body.replace(b"\r\n\r\n", b"\r\n" + random.choice(lines) + b"\r\n\r\n", 1)
    else:
        body = spoil_bytes(body, random)
    path.write_bytes(head + b"\n\n" + body)
