"""What is different in a class: seats, limits, and what a browser may start."""
