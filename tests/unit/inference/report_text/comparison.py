"""Found facts against those that a careful reader takes from a text: right, missed, wrong.

The rules: a nodule denied counts as none; found and expected nodules are paired greedily by what
they agree in; each field of a pair is one fact.
"""
