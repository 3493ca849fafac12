"""The search for garbage, while somebody watches.

Python looks through all that it holds whenever what is new makes a quarter of it, and nothing else goes on meanwhile.
"""

from __future__ import annotations

import gc


def keep_for_good() -> None:
    """Leave what there is now, the libraries, the page and the model, out of every later search.

    They are half a million objects: a search through them stops every stream for a quarter of a second, and what
    visitors leave in rings would have to grow to an eighth of a million before it is looked for.

    What is let go of later is still freed as soon as nobody holds it, but no more as part of a ring. A model is none
    (``tests/contract/test_families.py``), unless accelerate spread it over several GPUs: replicas do not call this.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # finds nothing, and that is the measure of the next search: a quarter of nothing
