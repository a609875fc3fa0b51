"""What is renewed under way, and whom we believe: secret files, and the authorities of a platform."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WATCHING, CHANNEL = "connectors/watching.py", "connectors/channel.py"
SECRETS = "tests/integration/test_renewed_secrets.py::"
TRUST = "tests/contract/test_transport_trust.py::"
BESIDE = f"{TRUST}test_a_private_authority_stands_instead_of_the_public_ones_or_beside_them"

MUTANTS = (
    Mutant(
        "secrets-are-watched",
        "a secret file that changes is in the next delivery, without a signal",
        "cdc/run.py",
        "next_signal(signals, watch.has_changed)",
        "next_signal(signals)",
        f"{SECRETS}test_a_renewed_token_is_in_the_next_delivery_without_restart_and_without_signal",
    ),
    Mutant(
        "only-secrets",
        "a renewed secret brings no half-edited config into force",
        "cdc/run.py",
        "lambda: renewed(daemon.config)",
        "lambda: load(path)",
        f"{SECRETS}test_a_renewed_token_is_in_the_next_delivery_without_restart_and_without_signal",
    ),
    Mutant(
        "secret-stands",
        "half of a secret that is being written is not taken for one",
        WATCHING,
        "if not stands or (",
        "if (",
        f"{SECRETS}test_a_change_is_told_once_and_only_when_it_stood_for_a_look",
    ),
    Mutant(
        "secret-again",
        "a renewal that the database kept from us is tried again",
        WATCHING,
        "(now == self._taken and not again)",
        "now == self._taken",
        f"{SECRETS}test_what_could_not_be_used_is_told_again",
    ),
    Mutant(
        "reload-stops-only-its-own",
        "lanes whose settings are the same go on while others are renewed",
        "cdc/keeper.py",
        " if not thread.kit.serves_like(kits.get(thread.lane.connector))]",
        "]",
        f"{SECRETS}test_a_slow_platform_does_not_keep_a_renewed_secret_from_the_others",
    ),
    Mutant(
        "ca-alone",
        "an authority of one's own is believed instead of the public ones",
        CHANNEL,
        "return (self.ca,)",
        "return (Path(certifi.where()), self.ca)",
        f"{BESIDE}[curl-ca-trusted1]",
    ),
    Mutant(
        "extra-ca-beside",
        "an extra authority leaves the public ones believed",
        CHANNEL,
        "else (public, self.extra_ca)",
        "else (self.extra_ca,)",
        f"{BESIDE}[requests-extra_ca-trusted2]",
    ),
)
