"""All that each stage found out, in one file, which the report, the model card and the registry read.

Each module holds the details of related stages, so that a stage that writes one of them does not import the others.
"""
