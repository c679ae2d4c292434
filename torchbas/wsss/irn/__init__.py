"""IRN (Ahn et al. 2019): boundaries and displacements learned from confident labels, and a random walk between them."""
