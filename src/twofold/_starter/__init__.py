"""The first hour: a model file to begin with, written from a file of stored data.

look_at        the columns of an input: their types as seen over all of it, and where they are empty
baseline_of    what a model that knows nothing should answer: the mean, or the most frequent value
source_of      the text of the model file
"""
