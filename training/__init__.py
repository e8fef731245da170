"""Labelled examples in, a model bundle out: fine-tune, fit, calibrate, export, evaluate."""
