"""A day at the office: what the clerks of HMS-DEV do next, as plain transactions and without a database.

Seeded, so that the same seed over the same rows does the same work in the same order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

from cdc.demo import papers
from outbox.model import Json

Shift: TypeAlias = tuple[str, date, int]

ROOMS: Final = ("A101", "A102", "A210", "B001", "B014", "C300")
UNITS: Final = ("NORTH-01", "NORTH-02", "SOUTH-01", "RIVER-01", "PARK-01")
SECTORS: Final = ("GF-00010", "GF-00011", "GF-00012", "GF-00013")
JUDGES: Final = ("Judge M. Okafor", "Judge L. Brandt", "Judge S. Lindqvist", "Judge T. Almeida")
CLERKS: Final = ("clerk.moreau", "clerk.janssen", "clerk.novak", "dispatch.ito", "survey.haddad")
PARTIES: Final = (
    "Riverside Housing", "Port Authority", "Café Zum Löwen", "Baker & Sons", "Northern Rail", "Water Board",
    "Oak Estates; Holding", "Coast Survey", "Chamber of Commerce, Elmford", 'The "Friends" of the Park',
)  # fmt: skip
QUARTERS: Final = ("Harbour", "Old Town", "Mill Lane", "River Bank", "Station", "University", "Canal", "Market")
KINDS: Final = ("directions", "mediation", "trial", "appeal", "judgment")
CASES: Final = ("CV", "AD", "CR")
BEGINNINGS: Final = ("draft", "scheduled", "scheduled")
LANGUAGES: Final = ("en", "fr", "nl", "de")
FIRST_DAY: Final = datetime(2026, 12, 7, tzinfo=UTC)
FEWEST, MOST, MOST_SECTORS = 6, 60, 12
_FIRST_NEW_HEARING = 1000  # below it the identity column serves those who type INSERT themselves


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of ``business.sql`` and what it is about."""

    statement: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Transaction:
    """Some steps by one person; ``commit`` False: it is rolled back at the end."""

    actor: str
    steps: tuple[Step, ...]
    commit: bool = True


@dataclass(slots=True)
class World:
    """The keys that exist, as far as this office knows."""

    hearings: list[int] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    sectors: list[str] = field(default_factory=list)
    """Those of the features that are patrol areas."""
    documents: dict[UUID, int | None] = field(default_factory=dict)
    struck: list[int] = field(default_factory=list)


class Office:
    """Decides the next transaction and keeps its own picture of the world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._hearing_no = max([_FIRST_NEW_HEARING, *(number + 1 for number in world.hearings)])
        self._feature_no = 1 + max(int(code.removeprefix("GF-")) for code in ["GF-00000", *world.features])

    def next(self) -> Transaction:
        """The next transaction; what it does is taken for done unless it is rolled back."""
        tasks, weights = zip(*_TASKS, strict=True)
        task: Callable[[Office], Transaction | None] = self._random.choices(tasks, weights)[0]
        return task(self) or self.next()

    # ------------------------------------------------------------ hearings

    def file_hearing(self) -> Transaction | None:
        if len(self._world.hearings) >= MOST:
            return None
        number = self._hearing_no
        self._hearing_no += 1
        return self._by(self._insert_hearing(number), self._insert_document(number))

    def return_of_a_struck_hearing(self) -> Transaction | None:
        if not self._world.struck or len(self._world.hearings) >= MOST:
            return None
        return self._by(self._insert_hearing(self._world.struck[0]))

    def reschedule(self) -> Transaction:
        number = self._random.choice(self._world.hearings)
        return self._by(Step("hearing_reschedule", {"id": number, **self._when_and_where()}))

    def change_status(self) -> Transaction:
        status = self._random.choice(("draft", "scheduled", "scheduled", "adjourned", "cancelled", "concluded"))
        return self._by(Step("hearing_status", {"id": self._random.choice(self._world.hearings), "status": status}))

    def open_or_close_doors(self) -> Transaction:
        return self._by(Step("hearing_public", {"id": self._random.choice(self._world.hearings)}))

    def change_twice(self) -> Transaction:
        number = self._random.choice(self._world.hearings)
        return self._by(self._fee(number), Step("hearing_reschedule", {"id": number, **self._when_and_where()}))

    def note(self) -> Transaction:
        number = self._random.choice(self._world.hearings)
        return self._by(Step("hearing_note", {"id": number, "note": f"call back {self._random.randrange(100)}"}))

    def strike(self) -> Transaction | None:
        return None if len(self._world.hearings) <= FEWEST else self._by(self._delete_hearing(self._pick_hearing()))

    def replace(self) -> Transaction:
        number = self._pick_hearing()
        return self._by(self._delete_hearing(number), self._insert_hearing(number))

    def close_room(self) -> Transaction:
        from_room, to_room = self._random.sample(ROOMS, 2)
        return self._by(Step("room_closed", {"from_room": from_room, "to_room": to_room}))

    # ------------------------------------------------------------ patrols, features, documents

    def plan_shift(self) -> Transaction | None:
        unit, day = self._random.choice(UNITS), FIRST_DAY.date() + timedelta(days=self._random.randrange(40))
        shift = (unit, day, self._random.randint(1, 9))
        if shift in self._world.shifts or len(self._world.shifts) >= MOST:
            return None
        self._world.shifts.append(shift)
        signs = [f"{unit[0]}{self._random.randint(10, 99)}" for _ in range(self._random.randint(1, 3))]
        planned = {
            "sector_code": self._random.choice(SECTORS),
            "call_signs": signs,
            "planned_km": self._amount(1, 120, 1),
        }
        return self._by(Step("shift_insert", {**_shift(shift), **self._duty(), **planned}))

    def change_shift(self) -> Transaction:
        shift = self._random.choice(self._world.shifts)
        status = self._random.choice(("planned", "active", "done", "cancelled"))
        remarks = self._random.choice((None, "Short of staff.", "Radio check at 10:00;\nthen quay, park & market."))
        return self._by(Step("shift_change", {**_shift(shift), **self._duty(), "status": status, "remarks": remarks}))

    def move_shift(self) -> Transaction | None:
        unit, day, number = shift = self._random.choice(self._world.shifts)
        moved = (unit, day + timedelta(days=self._random.randint(1, 30)), number)
        if moved in self._world.shifts:
            return None
        self._world.shifts[self._world.shifts.index(shift)] = moved
        return self._by(Step("shift_move", {**_shift(shift), "to_date": moved[1]}))

    def drop_shift(self) -> Transaction | None:
        if len(self._world.shifts) <= FEWEST:
            return None
        return self._by(Step("shift_delete", _shift(self._world.shifts.pop(self._index(self._world.shifts)))))

    def set_up_checkpoint(self) -> Transaction | None:
        if len(self._world.features) >= MOST:
            return None
        code = self._new_feature()
        coordinates = [self._amount(430000, 439999, 5), self._amount(5080000, 5089999, 5)]
        feature = {
            "code": code, "name": f"Checkpoint {self._random.randint(1, 99)}",
            "attributes": {"staffed": self._random.random() < 0.5},
            "geometry": {"type": "Point", "coordinates": coordinates}, "valid_from": FIRST_DAY.date(),
        }  # fmt: skip
        return self._by(Step("feature_insert", feature))

    def draw_sector(self) -> Transaction | None:
        if len(self._world.sectors) >= MOST_SECTORS or len(self._world.features) >= MOST:
            return None
        code, (geometry, area) = self._new_feature(), papers.area(self._random)
        self._world.sectors.append(code)
        sector = {
            "code": code, "name": self._quarter(),
            "attributes": {"priority": self._random.randint(1, 3)}, "geometry": geometry, "area_m2": area,
            "valid_from": FIRST_DAY.date(),
        }  # fmt: skip
        return self._by(Step("sector_insert", sector))

    def redraw_sector(self) -> Transaction | None:
        if not self._world.sectors:
            return None
        geometry, area = papers.area(self._random)
        code = self._random.choice(self._world.sectors)
        return self._by(Step("sector_redraw", {"code": code, "geometry": geometry, "area_m2": area}))

    def rename_feature(self) -> Transaction:
        code, days = self._random.choice(self._world.features), self._random.randint(1, 90)
        plain = code in self._world.sectors  # pygeoapi 0.24 gives < and > back as &lt; and &gt;
        name = self._quarter() if plain else f"{self._party()} <{days}>"
        return self._by(Step("feature_rename", {"code": code, "name": name, "days": days}))

    def remove_feature(self) -> Transaction | None:
        if len(self._world.features) <= FEWEST:
            return None
        code = self._world.features.pop(self._index(self._world.features))
        if code in self._world.sectors:
            self._world.sectors.remove(code)
        return self._by(Step("feature_delete", {"code": code}))

    def file_documents(self) -> Transaction | None:
        if len(self._world.documents) >= MOST:
            return None
        number = self._random.choice(self._world.hearings)
        return self._by(*(self._insert_document(number) for _ in range(self._random.randint(1, 3))))

    def new_version(self) -> Transaction | None:
        if not self._world.documents:
            return None
        document = self._random.choice(list(self._world.documents))
        return self._by(Step("document_version", {"id": document, "content": papers.order(self._random)}))

    def withdraw_document(self) -> Transaction | None:
        if len(self._world.documents) <= FEWEST:
            return None
        document = self._random.choice(list(self._world.documents))
        del self._world.documents[document]
        return self._by(Step("document_delete", {"id": document}))

    def think_again(self) -> Transaction:
        """Everything in here is rolled back: none of it may ever be seen outside."""
        number, code = self._random.choice(self._world.hearings), self._random.choice(self._world.features)
        steps = self._fee(number), Step("hearing_delete", {"id": number}), Step("feature_delete", {"code": code})
        return replace(self._by(*steps), commit=False)

    # ------------------------------------------------------------ details

    def _by(self, *steps: Step) -> Transaction:
        return Transaction(self._random.choice(CLERKS), steps)

    def _insert_hearing(self, number: int) -> Step:
        self._world.hearings.append(number)
        if number in self._world.struck:
            self._world.struck.remove(number)
        facts = {
            "id": number, "case_number": f"{self._random.choice(CASES)}-2026-{self._random.randint(1, 99999):05}",
            "title": f"{self._party()} v. {self._party()}", "kind": self._random.choice(KINDS),
            "presiding": self._random.choice(JUDGES), "participants": [self._party(), self._party()],
            "is_public": self._random.random() < 0.8, "status": self._random.choice(BEGINNINGS),
            "court_fee": self._amount(0, 500000, 2), "language": self._random.choice(LANGUAGES),
        }  # fmt: skip
        return Step("hearing_insert", {**facts, **self._when_and_where()})

    def _delete_hearing(self, number: int) -> Step:
        self._world.hearings.remove(number)
        self._world.struck.append(number)
        self._world.documents = {key: hearing for key, hearing in self._world.documents.items() if hearing != number}
        return Step("hearing_delete", {"id": number})

    def _insert_document(self, number: int) -> Step:
        key = UUID(int=self._random.getrandbits(128), version=4)
        self._world.documents[key] = number
        kind = self._random.choice(("public", "internal", "restricted"))
        title, tags = (
            f"Annex {self._random.randint(1, 40)}, {self._party()}",
            self._random.sample(("claim", "survey", "annex"), 2),
        )
        facts = {"id": key, "hearing_id": number, "title": title, "classification": kind, "tags": tags}
        return Step("document_insert", {**facts, "content": papers.order(self._random)})

    def _new_feature(self) -> str:
        code = f"GF-{self._feature_no:05}"
        self._feature_no += 1
        self._world.features.append(code)
        return code

    def _fee(self, number: int) -> Step:
        fee, language = self._amount(0, 500000, 2), self._random.choice(LANGUAGES)
        return Step("hearing_fee", {"id": number, "court_fee": fee, "language": language})

    def _when_and_where(self) -> dict[str, Json]:
        starts = FIRST_DAY + timedelta(days=self._random.randrange(150), minutes=15 * self._random.randrange(28, 64))
        length = timedelta(minutes=15 * self._random.randint(1, 16))
        return {"starts_at": starts, "ends_at": starts + length, "room_code": self._random.choice(ROOMS)}

    def _duty(self) -> dict[str, Json]:
        return {
            "starts_local": time(self._random.randrange(24), self._random.choice((0, 30))),
            "hours": self._amount(16, 48, 0) / 4,
        }

    def _pick_hearing(self) -> int:
        return self._random.choice(self._world.hearings)

    def _index(self, of: list[Shift] | list[str]) -> int:
        return self._random.randrange(len(of))

    def _quarter(self) -> str:
        return f"{self._random.choice(QUARTERS)} {self._random.randint(1, 99)}"

    def _party(self) -> str:
        return self._random.choice(PARTIES)

    def _amount(self, least: int, most: int, places: int) -> Decimal:
        return Decimal(self._random.randint(least, most)).scaleb(-places)


def _shift(shift: Shift) -> dict[str, Json]:
    return dict(zip(("unit_code", "shift_date", "shift_no"), shift, strict=True))


_TASKS: Final[tuple[tuple[Callable[[Office], Transaction | None], int], ...]] = (
    (Office.file_hearing, 8),
    (Office.return_of_a_struck_hearing, 3),
    (Office.reschedule, 12),
    (Office.change_status, 12),
    (Office.open_or_close_doors, 4),
    (Office.change_twice, 4),
    (Office.note, 3),
    (Office.strike, 6),
    (Office.replace, 3),
    (Office.close_room, 1),
    (Office.plan_shift, 8),
    (Office.change_shift, 8),
    (Office.move_shift, 4),
    (Office.drop_shift, 4),
    (Office.set_up_checkpoint, 5),
    (Office.draw_sector, 3),
    (Office.redraw_sector, 6),
    (Office.rename_feature, 6),
    (Office.remove_feature, 3),
    (Office.file_documents, 5),
    (Office.new_version, 6),
    (Office.withdraw_document, 3),
    (Office.think_again, 4),
)
