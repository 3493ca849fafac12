"""How many cores torch computes on unless told otherwise."""

import torch

CORES = torch.get_num_threads()
"""Read when it is first needed, which is before anything sets another number: a thread that does sets that of later threads, too."""
