"""The page "Accuracy vs sparsity"."""
