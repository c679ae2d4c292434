"""Dense CRF: mean-field inference with Gaussian pairwise potentials, filtered on the permutohedral lattice."""
