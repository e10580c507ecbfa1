"""The graph neural network: layers, mixture of experts, attention and inference."""
