"""What is different in a class: seats, limits, and the teacher's browser."""
