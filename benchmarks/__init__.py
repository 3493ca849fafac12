"""Paired measurements: two ways of doing one thing, in turn, in one process, as ratios."""

import backend as backend  # first: it sets how PyTorch's threads wait, before PyTorch is loaded
