"""How results are shown to people.

Here belong the style of figures, the figures, pages, tables and the model card: they show numbers
that evaluation has computed, and compute none. May use every package before it.
"""
