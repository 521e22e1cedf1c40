"""Finding the smallest model whose quality holds a floor."""
