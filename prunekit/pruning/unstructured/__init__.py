"""Single weights: scored once, cut at any sparsity, to the exact count; N:M patterns; how much each layer gives."""
