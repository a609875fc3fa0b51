"""References to secrets: found, missing, refused; and never told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cdc.config.document import parse
from cdc.config.secrets import Expansion, expand


def expanded(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> Expansion:
    return expand(parse(text, file="f.yml"), environment=environment or {}, folder=folder)


def secret(folder: Path, name: str, content: str, *, mode: int = 0o600) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("${NONE:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${A:-two}", "one"),
        ("${NONE:-}", ""),
        ("${NONE:-a:b-c}", "a:b-c"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("costs 5$", "costs 5$"),
        ("$A", "$A"),
        ("${TRICKY}", "a: b\n- ${A}"),
    ],
)
def test_variables_are_expanded_once_and_after_parsing(tmp_path: Path, text: str, value: str) -> None:
    environment = {"A": "one", "EMPTY": "", "TRICKY": "a: b\n- ${A}"}
    assert expanded(f"a: ['{text}', 1]", tmp_path, environment).data == {"a": [value, 1]}


def test_keys_are_never_expanded(tmp_path: Path) -> None:
    assert expanded("'${A}': 1", tmp_path, {"A": "one"}).data == {"${A}": 1}


def test_a_secret_file_lies_in_the_folder_secrets_beside_the_config(tmp_path: Path) -> None:
    secret(tmp_path, "secrets/deep/token", "s3cret: x\n")
    result = expanded("a: '${file:deep/token}'", tmp_path)
    assert (result.data, result.mistakes, result.warnings) == ({"a": "s3cret: x"}, [], [])


def test_secrets_dir_moves_the_folder(tmp_path: Path) -> None:
    secret(tmp_path, "elsewhere/token", "s3cret")
    text = f"secrets_dir: {tmp_path}/elsewhere\na: '${{file:token}}'"
    assert expanded(text, tmp_path / "config").data["a"] == "s3cret"


def test_a_credential_lies_where_systemd_puts_it(tmp_path: Path) -> None:
    secret(tmp_path, "credentials/token", "s3cret", mode=0o400)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert expanded("a: '${cred:token}'", tmp_path, environment).data == {"a": "s3cret"}


def test_a_secret_file_for_everybody_is_a_warning(tmp_path: Path) -> None:
    file = secret(tmp_path, "secrets/token", "s3cret", mode=0o644)
    warnings = [str(each) for each in expanded("x: 1\na: '${file:token}'", tmp_path).warnings]
    assert warnings == [f"f.yml:2: a: the secret file {file} is readable by everybody (chmod 600 {file})"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${NONE}", "the environment variable NONE is not set (set it, or write ${NONE:-default})"),
        ("${EMPTY}", "the environment variable EMPTY is empty (set it, or write ${EMPTY:-default})"),
        ("${a b}", "'a b' is not the name of a variable (letters, digits and _)"),
        ("${}", "'' is not the name of a variable (letters, digits and _)"),
        ("${A", "holds a ${ that is not a reference (write ${VAR}, or $$ for a plain dollar)"),
        ("${vault:x}", "${vault:…} is not known (known: ${VAR}, ${file:name}, ${cred:name})"),
        (
            "${cred:x}",
            "${cred:x} needs CREDENTIALS_DIRECTORY, which is not set "
            "(start with systemd's LoadCredential=, or use ${file:…})",
        ),
        ("${file:../x}", "'../x' is not a name of a secret (letters, digits, _, -, . and no '..')"),
        ("${file:a/../x}", "'a/../x' is not a name of a secret (letters, digits, _, -, . and no '..')"),
        ("${file:/etc/passwd}", "'/etc/passwd' is not a name of a secret (letters, digits, _, -, . and no '..')"),
        ("${file:none}", "the secret file {}/none cannot be read: No such file (create it, mode 0600)"),
        ("${file:folder}", "the secret file {}/folder cannot be read: Not a file (create it, mode 0600)"),
        ("${file:empty}", "the secret file {}/empty is empty, binary or too large (store one secret as text)"),
        ("${file:large}", "the secret file {}/large is empty, binary or too large (store one secret as text)"),
        ("${file:link}", "the secret file {}/link leads out of its folder (put the file itself there)"),
    ],
)
def test_what_cannot_be_resolved_is_a_mistake_at_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    secret(tmp_path, "secrets/empty", "\n")
    secret(tmp_path, "secrets/large", "x" * 70_000)
    secret(tmp_path, "outside", "not for you")
    (tmp_path / "secrets" / "folder").mkdir()
    (tmp_path / "secrets" / "link").symlink_to(tmp_path / "outside")
    result = expanded(f"x: 1\na: ['{text}']", tmp_path, {"EMPTY": ""})
    wanted = sentence.replace("{}", str(tmp_path / "secrets"))
    assert [str(each) for each in result.mistakes] == [f"f.yml:2: a[0]: {wanted}"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("capture: {t: {where: '${A}'}}", "capture.t.where"),
        ("mappings: {m: {fields: {x: {constant: '${file:a}'}}}}", "mappings.m.fields.x.constant"),
        ("connectors: {c: {routes: {t: {where: 'x ${cred:a}'}}}}", "connectors.c.routes.t.where"),
    ],
)
def test_parts_that_are_stored_in_the_database_take_no_secret(tmp_path: Path, text: str, path: str) -> None:
    result = expanded(text, tmp_path, {"A": "s3cret"})
    assert [each.path for each in result.mistakes] == [path]
    assert "is not expanded here, because this part is stored in the database" in result.mistakes[0].sentence
    assert not result.values


def test_a_dollar_in_a_mapping_is_left_alone(tmp_path: Path) -> None:
    text = "mappings: {m: {fields: {x: '$$ and $x and ${'}}}"
    result = expanded(text, tmp_path)
    assert result.data == {"mappings": {"m": {"fields": {"x": "$$ and $x and ${"}}}}
    assert not result.mistakes
