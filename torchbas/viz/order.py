"""stub"""


def most_useful_first(cards):
    return list(range(len(cards)))
