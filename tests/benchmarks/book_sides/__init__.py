"""One module a side. `prepare(rows)` returns a function that replays the first n messages and returns their top levels.

`rows` are the arrays of `tests.benchmarks.book_rows` as a mapping, so that a side needs nothing but numpy and the
library that it measures: some run in an environment of their own. What is returned is four arrays with a row of DEPTH
items a message, 0 where there is no level: bid prices, bid quantities, ask prices, ask quantities, as integers.
"""

DEPTH = 10
BID, ASK, CLEAR = 0, 1, 2
