"""Families, a file each: what belongs to one kind of run (gen/runs/family.py)."""
