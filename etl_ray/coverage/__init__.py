"""What a recording holds and what it does not: holes in sequence numbers, states of books, tiles of coverage."""
