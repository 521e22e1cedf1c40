"""Channels, heads and blocks: the trace, rules of operators, coupled groups, the plan and the surgery."""
