"""What the protocol does (rules) and what it stands on (assumptions): each a switch that a test turns off."""

from __future__ import annotations

from enum import Enum


class Rule(Enum):
    """A rule of the protocol; the value says it in a sentence and where the code has it."""

    CLAIM_NAMES_ITS_ROWS = "a page's claim is committed before its rows are sent (Pager.turn, open_page)"
    CLAIM_NAMES_THE_REST = "a claim made while another goes on begins with what is left of that (Pager.overlap)"
    CLAIM_KEEPS_THE_ORDER = (
        "no page is claimed beside one that its held rows would overtake (OpenPage.would_be_overtaken)"
    )
    CLAIM_IS_FLUSHED = "the claim's commit reaches the disk before the first byte leaves (synchronous_commit = on)"
    RECOVERY_MINUS_SETTLED = "a take-over leaves out what is settled (read_claim: NOT EXISTS in audit)"
    RECOVERY_MINUS_OPEN = "a take-over leaves out what has a delivery (read_claim: NOT EXISTS in delivery)"
    REPLAY_BEHIND_DOUBT = "an older replayed delivery waits behind a newer one of its record that was perhaps sent"
    DOUBT_AFTER_TAKEOVER = "attempts of a dead owner are in doubt (recover_in_flight, Pager._resume)"
    EPOCH_AT_WRITE = "nothing is written under an old epoch or a lease that is over (hold_lane)"
    FENCE = "a delivery is settled only under the fence of its latest attempt (leave_delivery, change_delivery)"
    UNIQUE_SETTLE = "a change settles once per generation (audit_settles_once)"
    LEASE_BEFORE_SEND = "a send starts only inside the lease (LaneWorker._may_send)"
    DEADLINE_INSIDE_LEASE = (
        "the later requests of an exchange leave only inside the lease (Courier._send, the deadline)"
    )
    ONE_UNDER_WAY = "one change of a record is under way at a time (Backlog, delivery_one_in_flight)"
    NEXT_AFTER_COMMIT = "the record's next change starts only after the settle of this one (Settler._after_commit)"
    FOLLOWERS_HELD = "later changes wait behind an open one of their record (held, blocked)"
    PROMOTE_HEADS = "what waited behind a delivery becomes due when that one is gone (promote_next)"
    NEVER_OLDER = "what something newer has overtaken is not sent (RemoteObject.is_newer_than)"
    INTENT = "where a resend could repeat the effect, each send is written down before it (Settler.write_intents)"
    SAME_KEY = "a resend bears the key of the first attempt (Delivery.key)"
    ASK_FIRST = "in doubt, the platform is asked before it is written to (delivery.doubt)"
    CONDITIONAL_WRITE = "EXACT_CAS writes only against the version that it knows (If-Match, If-None-Match)"
    QUIET_PERIOD = "the platform is asked only when every late copy is dead (doubt_due_in)"
    DELETE_AFTER_COPIES = "EXACT_CAS: a delete waits until no create of its record can be under way (cdc.lane.quiet)"
    PERSON_DECIDES = "ONCE_OR_ASK never sends again what is in doubt (doubt_due_in, Courier.start)"
    WINDOW_BEFORE_RESEND = "no resend when the platform may have forgotten our key, checked when it leaves"
    BUSY_KEEPS_DOUBT = "'your key is still being worked on' (409) leaves a delivery in doubt"
    SPENT_DOUBT_STAYS_OPEN = "a delivery in doubt whose attempts are used up waits for a person; it does not die"


class Assumption(Enum):
    """What no code can give; the guarantee's conditions say it to the operator."""

    QUIET_OUTLIVES_COPIES = "VERIFY: every late copy of a request is dead when the quiet period is over"
    WINDOW_OUTLIVES_COPIES = "EXACT_WINDOW: every late copy of a request is dead when the platform forgets its key"
    COPIES_DIE_BEFORE_NEXT = "CONVERGE: late copies of a record's requests are dead when its next write leaves"
    QUIET_OUTLIVES_CREATES = "EXACT_CAS: every late create is dead when the quiet period before a delete is over"


ALL_RULES = frozenset(Rule)
ALL_ASSUMPTIONS = frozenset(Assumption)
