"""A model by hub id: data files only, at a pinned revision, resumed when cut off, from the cache offline.

Nothing here runs, and no address is asked, unless a hub id was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from backend.errors import ModelError

SETTINGS_FILES = ("config.json", "generation_config.json", "tokenizer*.json", "special_tokens_map.json",
                  "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "README.md")
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")


def fetched(repository: str, revision: str | None, accept: Callable[[Path], object]) -> Path:
    """Return the local folder of a hub repository.

    The small files come first and ``accept`` looks at them (it raises what it does not like), so that
    nobody downloads gigabytes of a model that cannot be opened. Raises ``ModelError`` with a remedy.
    """
    folder = _snapshot(repository, revision, SETTINGS_FILES)
    accept(folder)
    # A snapshot's folder is named by its commit: the weights are of that one, whatever is pushed meanwhile.
    return _snapshot(repository, folder.name, WEIGHT_FILES)


def _snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    import httpx2  # the hub library's own transport; both only when a hub model is asked for
    from huggingface_hub import errors, snapshot_download

    wanted = f"The hub model {repository!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except errors.GatedRepoError as error:
        raise ModelError(f"{wanted} is gated: its owner asks for consent first.",
                         "Accept the terms on its page, then set HF_TOKEN or run: hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"{wanted} was not found, or is private.",
                         "Check the spelling of owner/name; for a private one set HF_TOKEN.") from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{wanted} was not found: the repository has no such revision.",
                         "Give a branch, a tag or a commit of the repository.") from error
    except errors.HFValidationError as error:
        raise ModelError(f"{repository!r} is not a hub id ({error}).", "Give one such as owner/name.") from error
    except (errors.LocalEntryNotFoundError, ConnectionError) as error:
        raise ModelError(f"{wanted} is not in the local cache and the hub could not be reached.",
                         "Check the connection, or give a local folder.") from error
    except (OSError, httpx2.HTTPError) as error:
        raise ModelError(f"{wanted} could not be fetched ({error}).",
                         "Check connection and free disk space, then try again: it goes on where it stopped.") from error
