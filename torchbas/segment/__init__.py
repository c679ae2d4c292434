"""Segmentation: seed, refine, student, each stage on disk. Read :mod:`.crf` for how a mask finds the photo's edges."""
