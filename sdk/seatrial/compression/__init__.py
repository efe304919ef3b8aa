"""Compression: a recipe of steps makes a smaller or faster model of a model, as one `.pt2` that every exporter takes.

`recipe.py` is what users write, `table.py` which steps there are, `state.py` what a step works on, `run.py` the loop
over the steps, `record.py` what is kept of it, `quantized_program.py` the contract with the exporters.
"""
