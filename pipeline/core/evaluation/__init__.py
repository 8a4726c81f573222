"""What a trained network predicts, and how good its predictions are.

Here belong inference, the table of predictions, metrics and their intervals, groups, thresholds,
the agreement of maps and masks, and the comparison of models: numbers, no pictures. May use every
package before it.
"""
