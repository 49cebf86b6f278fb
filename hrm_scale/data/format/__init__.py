"""The files of a data set: `dataset.json`, index, shards; written, read back and checked.

Values are checked by hand and not by pydantic: reading data needs numpy alone, and most rules
compare arrays or fields with each other, which a model of types cannot say.
"""
