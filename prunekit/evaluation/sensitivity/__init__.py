"""How sensitive each layer or group is when it is pruned alone, and targets that follow from it."""
