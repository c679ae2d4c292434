"""Seeds: class maps of tagged photos before refinement; made, combined, binarized, kept on disk."""
