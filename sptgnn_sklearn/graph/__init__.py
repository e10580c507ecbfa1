"""K-nearest-neighbor graph of the samples in each relation, with edge features."""
