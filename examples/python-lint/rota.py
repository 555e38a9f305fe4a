"""Who is on call in which week: a list of people taken in turn."""

import datetime as dt
import itertools
import sys


def on_call(people, week):
    """The person of that week, from 0. The list begins again when it is used up."""
    if not people:
        raise ValueError("nobody is on the list")
    return people[week % len(people)]


def weeks( first, count ) :
    """The Mondays of that many weeks, beginning with the one of `first`."""
    monday = first - dt.timedelta(days = first.weekday())
    return [monday + dt.timedelta(weeks=n) for n in range(count)]
