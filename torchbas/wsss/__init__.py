"""Weakly supervised semantic segmentation (Sec. 5): seeds, pseudo masks refined from them, a segmenter."""
