"""Analysis: what each layer of a model weighs, costs and loses in INT8."""
