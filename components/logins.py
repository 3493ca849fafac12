"""Who may come in, where a server asks for a login: names and passwords, which nothing here ever repeats."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from backend.errors import Problem, RequestError

_FORM = "give a file with a line name:password for each login, or the lines themselves, separated by commas."


class Logins:
    """The logins of a server; it can be asked, and not read."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._digests = {_digest(name): _digest(password) for name, password in passwords.items()}

    def __bool__(self) -> bool:
        """Whether a login is asked for at all."""
        return bool(self._digests)

    def admit(self, name: str, password: str) -> bool:
        """Tell whether this is a login; takes as long for a wrong name as for a wrong password."""
        found, given = _digest(name), _digest(password)
        right = [hmac.compare_digest(found, known) & hmac.compare_digest(given, secret) for known, secret in self._digests.items()]
        return any(right)


def logins_of(setting: str) -> Logins:
    """Return the logins that the setting ``auth`` names: a file, or ``name:password,name:password``.

    Raises ``RequestError``, which quotes nothing of it.
    """
    if not setting:
        return Logins({})
    try:
        path = Path(setting)
        text = path.read_text(encoding="utf-8") if path.is_file() else setting.replace(",", "\n")
    except (OSError, ValueError) as error:
        raise RequestError([Problem("auth", f"the file cannot be read ({type(error).__name__}); {_FORM}")]) from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.partition(":") for line in lines]
    if not pairs or any(not (name and password) for name, _, password in pairs):
        raise RequestError([Problem("auth", f"it is no file that can be read, and no logins; {_FORM}")])
    return Logins({name: password for name, _, password in pairs})


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
