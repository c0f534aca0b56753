"""Files that nobody should trust, and commands that read them within limits.

`python -m tests.soak --hostile` reads many of them; `python -m tests.hostile` shows the kept ones.
"""
