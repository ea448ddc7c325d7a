"""Models that answer: deployments, engines, the catalogue, merged weights, comparisons.

Uses runs and all below. Knows no HTTP: workers send the requests to engines.
"""
