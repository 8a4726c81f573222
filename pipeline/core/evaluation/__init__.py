"""What a trained network predicts, and how good that is.

Here belong inference, the table of predictions, metrics and their intervals, groups, thresholds,
the overlap of maps and masks, and the comparison of models: numbers, no pictures. May use every
room before it.
"""
