"""Prune: what goes, what stays, what does it cost?"""
