"""Tests of what is shipped to run the product: settings of other programs, samples, procedures."""
