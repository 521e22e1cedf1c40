"""Charts of docs/methods.md, each computed from a sample model; `docs/figures.py` draws them."""
