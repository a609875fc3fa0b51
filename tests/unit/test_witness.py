"""The witness: what a process sent and settled, read back by any later one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from cdc import witness
from cdc.witness import NoWitness, Witness
from outbox.lineage import Sent
from outbox.model import Change, Delivery, HmsSyncError, Operation

LEDGER = UUID("00000000-0000-4000-8000-000000000001")


def delivery(change_id: int, key: str = "7") -> Delivery:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Delivery("Diary", Change(change_id, uuid4(), 900, 0, "hearing", key, Operation.UPDATE, None, {}, moment))


def told(found: Sequence[Sent]) -> list[tuple[int, bool, str | None]]:
    return [(one.change_id, one.applied, one.external_id) for one in found]


def test_what_was_sent_is_remembered_with_what_is_known_of_it(tmp_path: Path) -> None:
    ours = Witness(tmp_path, LEDGER, "a")
    one, two, three = delivery(1), delivery(2, 'A "quoted"\n\u2028 key'), delivery(3)
    ours.sent("Diary", [one, two, three])
    ours.ended("Diary", [(one, "hearing-1.ics")], [three])
    assert told(ours.everything()) == [(1, True, "hearing-1.ics"), (2, False, None)]
    assert [sent.record for sent in ours.everything()] == [one.record, two.record]
    assert told(ours.latest()) == [(1, True, "hearing-1.ics")]


def test_a_later_process_reads_it_too_and_another_ledger_does_not(tmp_path: Path) -> None:
    Witness(tmp_path, LEDGER, "a").sent("Diary", [delivery(1)])
    later = Witness(tmp_path, LEDGER, "b")
    later.sent("Diary", [delivery(2)])
    assert told(later.everything()) == told(later.tail()) == [(1, False, None), (2, False, None)]
    assert Witness(tmp_path, uuid4(), "c").everything() == []


def test_a_resend_is_one_delivery(tmp_path: Path) -> None:
    ours = Witness(tmp_path, LEDGER, "a")
    one = delivery(1)
    for _ in range(3):
        ours.sent("Diary", [one])
    ours.ended("Diary", [(one, None)], [])
    assert told(ours.everything()) == [(1, True, None)]


def test_a_line_that_a_killed_process_left_torn_hides_no_other(tmp_path: Path) -> None:
    ours = Witness(tmp_path, LEDGER, "a")
    ours.sent("Diary", [delivery(1)])
    ours.sent("Diary", [delivery(2)])
    (file,) = (tmp_path / str(LEDGER)).iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    assert told(ours.everything()) == [(1, False, None)]


def test_it_stays_small_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(witness, "KEPT_BYTES", 8_000)
    ours = Witness(tmp_path, LEDGER, "a")
    for n in range(500):
        ours.sent("Diary", [delivery(n)])
    size = sum(file.stat().st_size for file in (tmp_path / str(LEDGER)).iterdir())
    assert size < 12_000
    assert [one.change_id for one in ours.everything()][-50:] == list(range(450, 500))


def test_a_daemon_that_starts_again_and_again_leaves_so_many_files_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "KEPT_FILES", 10)
    for n in range(30):
        writer = Witness(tmp_path, LEDGER, "a")
        writer.sent("Diary", [delivery(n)])
        writer.close()
    assert [one.change_id for one in writer.everything()] == list(range(20, 30))


def test_a_file_that_was_forgotten_is_not_written_on(tmp_path: Path) -> None:
    """A daemon that was silent while others started a thousand times."""
    silent = Witness(tmp_path, LEDGER, "a")
    silent.sent("Diary", [delivery(1)])
    for file in (tmp_path / str(LEDGER)).iterdir():
        file.unlink()
    silent.sent("Diary", [delivery(2)])
    assert told(silent.everything()) == [(2, False, None)]


def test_the_tail_is_the_newest_part_of_what_all_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that starts again and again leaves a file each time; a start reads no more for that."""
    monkeypatch.setattr(witness, "TAIL_BYTES", 1_000)
    for n in range(100):
        writer = Witness(tmp_path, LEDGER, f"process {n // 3}")
        writer.sent("Diary", [delivery(n)])
        writer.close()
    found = [one.change_id for one in Witness(tmp_path, LEDGER, "z").tail()]
    assert 0 < len(found) < 20
    assert found == list(range(100 - len(found), 100))


def test_a_folder_that_cannot_be_written_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HmsSyncError, match=r"witness in .* cannot be written: .*daemon\.witness.*witness: off"):
        Witness(tmp_path / "file", LEDGER, "a").prove_writable()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    Witness(tmp_path / "made", LEDGER, "a").prove_writable()
    (file,) = (tmp_path / "made" / str(LEDGER)).iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_without_a_witness_nothing_is_remembered() -> None:
    none = NoWitness()
    none.prove_writable()
    none.sent("Diary", [delivery(1)])
    none.ended("Diary", [(delivery(1), None)], [])
    none.close()
    assert (none.latest(), none.tail(), none.everything()) == ([], [], [])


def test_it_costs_microseconds_per_delivery(tmp_path: Path) -> None:
    """Measured at 2.4 microseconds in batches of 16, 12 one by one; the bound is far above, for a busy machine."""
    ours = Witness(tmp_path, LEDGER, "a")
    batch = [delivery(n) for n in range(16)]
    began = time.process_time()
    for _ in range(500):
        ours.sent("Diary", batch)
        ours.ended("Diary", [(one, "hearing-7-0123456789.ics") for one in batch], [])
    assert (time.process_time() - began) / (500 * 16) < 100e-6
