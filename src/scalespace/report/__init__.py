"""What a study found: tables, figures and sentences, as a page and as data.

All of it is a function of the study's folder.
"""
