"""Puts secrets where the agent will find them: the keyring, or private files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from lab_side.settings.config_file import Answers, refused
from lab_side.settings.secrets import SecretPlaces, keep_in_folder, keep_in_keyring
from segrelay.errors import FixConfigurationError


@dataclass
class Keeper:
    """Keeps one secret after another."""

    folder: Path
    """Of the files."""
    where: str
    """``auto``, ``keyring`` or ``file``."""
    report: tuple[str, ...] = ()
    """A line for each secret that was kept: where it is."""

    def keep(
        self, answers: Answers, places: SecretPlaces, name: str, what: str, secret: SecretStr | None
    ) -> Answers:
        """Keep a secret, if there is one; returns the answers with the place.

        Parameters
        ----------
        name:
            Whose it is, in the keyring.
        what:
            The secret in words, for the report.

        Raises
        ------
        FixConfigurationError
            ``keyring-unusable``; ``setup-refused``: the disk refused.
        """
        if secret is None:
            return answers
        text = secret.get_secret_value()
        if self.where != "file" and keep_in_keyring(places.service, name, text):
            self.report += (f"{what} is in the keyring, as {places.service} {name}.",)
            return answers
        if self.where == "keyring":
            raise FixConfigurationError(
                "There is no keyring here that keeps a secret.",
                code="keyring-unusable",
                remedy="Run it with --secrets file, or unlock the keyring of this account.",
            )
        try:
            path = keep_in_folder(self.folder, places.credential, text)
        except OSError as error:
            raise refused(self.folder, error) from None
        self.report += (f"{what} is in {path}, which this account alone may read.",)
        return replace(answers, credentials_dir=self.folder)
