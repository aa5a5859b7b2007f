"""The compiled parts of order books: net changes of rows, ranks of prices, and the ladder that replays rows.

The ladder keeps one quantity per side and price rank, 0 where there is no level. Both sides lie in one array of slots,
best price first: a bid of rank r has slot R-1-r and an ask R+r, where R is a power of two of at least 64 and not less
than the number of distinct prices. A bit per slot says where levels are, a bit per word of these where words are not
empty, and a bit per word of those again. A bit behind the last slot is always set, so no search runs off the end.

Integers are signed throughout, since Numba turns mixed ones into floats. All kernels stand in this one file because
Numba's on-disk cache notices a change only in the file of the function that it has cached.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BID, ASK, CLEAR = 0, 1, 2
MAX_PRICE = 2**62 - 1
"""So that the sum of two prices, and a side beside a price, fit into 64 bits."""

SIDE_BIT = 62
HASH_FACTOR = -7046029254386353131  # 2**64 divided by the golden ratio, as a signed integer: Fibonacci hashing
FIRST_TABLE_BITS, LARGEST_FIRST_TABLE_BITS = 8, 15
HALF = 32
LOW_HALF = 2**HALF - 1
HALF_FLOAT = float(2**HALF)
BPS = 10_000
NOWHERE = 2**62
"""A slot behind all slots."""

FLAGS = {"nogil": True, "error_model": "numpy"}
INLINE = {**FLAGS, "forceinline": True}


@intrinsic
def trailing_zeros(typing, bits):
    """Return the number of zeros below the lowest set bit of an int64 that is not 0."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def top_bits(typing, value, count):
    """Return the `count` highest bits of an int64, as a number."""

    def generate(context, builder, signature, args):
        shift = builder.sub(ir.Constant(ir.IntType(64), 64), args[1])
        return builder.lshr(args[0], shift)

    return types.int64(types.int64, types.int64), generate


@njit(**FLAGS)
def first_table_bits(rows):
    """Return how large a hash table to begin with."""
    bits = FIRST_TABLE_BITS
    while bits < LARGEST_FIRST_TABLE_BITS and (1 << bits) < 2 * rows:
        bits += 1
    return bits


@njit(**FLAGS)
def rehash(keys, n, bits):
    """Return a hash table of 2**bits places (key, or -1; number) for the first n keys, which are distinct."""
    table = np.full(1 << bits, -1, np.int64)
    number = np.empty(1 << bits, np.int32)
    mask = (1 << bits) - 1
    for i in range(n):
        h = top_bits(keys[i] * HASH_FACTOR, bits)
        while table[h] != -1:
            h = (h + 1) & mask
        table[h] = keys[i]
        number[h] = i
    return table, number


@njit(**FLAGS)
def longer(values, size):
    """Return a copy with room for `size` values."""
    copy = np.empty(size, values.dtype)
    copy[: values.size] = values
    return copy


@njit(cache=True, **FLAGS)
def first_wrong_row(side, price, quantity):
    """Return the first row that is no operation of a book, or -1."""
    wrong = False
    for i in range(side.size):
        wrong |= (side[i] < BID) | (side[i] > CLEAR)
        wrong |= (side[i] != CLEAR) & ((price[i] < 0) | (price[i] > MAX_PRICE) | (quantity[i] < 0))
    if wrong:
        for i in range(side.size):
            if side[i] < BID or side[i] > CLEAR:
                return i
            if side[i] != CLEAR and (price[i] < 0 or price[i] > MAX_PRICE or quantity[i] < 0):
                return i
    return -1


@njit(cache=True, **FLAGS)
def last_quantities(side, price, quantity):
    """Return whether rows clear the book, and the key and last quantity of each level that they name behind that.

    A key is the side in front of the price, so that keys sort by side, then price; they come in no order.
    """
    first = side.size
    while first > 0 and side[first - 1] != CLEAR:
        first -= 1
    bits = first_table_bits(side.size - first)
    keys = np.empty(1 << (bits - 1), np.int64)
    last = np.empty(1 << (bits - 1), np.int64)
    table, number = rehash(keys, 0, bits)
    mask = (1 << bits) - 1
    n = 0
    for i in range(first, side.size):
        key = (np.int64(side[i]) << SIDE_BIT) | price[i]
        h = top_bits(key * HASH_FACTOR, bits)
        while table[h] != key and table[h] != -1:
            h = (h + 1) & mask
        if table[h] == key:
            last[number[h]] = quantity[i]
            continue
        if n == keys.size:
            bits += 2
            keys = longer(keys, 1 << (bits - 1))
            last = longer(last, 1 << (bits - 1))
            table, number = rehash(keys, n, bits)
            mask = (1 << bits) - 1
            h = top_bits(key * HASH_FACTOR, bits)
            while table[h] != -1:
                h = (h + 1) & mask
        table[h] = key
        number[h] = n
        keys[n] = key
        last[n] = quantity[i]
        n += 1
    return first > 0, keys[:n], last[:n]


@njit(cache=True, **FLAGS)
def sorted_levels(keys, last, order, keep_zeros):
    """Return side, price and quantity of keys in the given order."""
    side = np.empty(keys.size, np.int8)
    price = np.empty(keys.size, np.int64)
    quantity = np.empty(keys.size, np.int64)
    n = 0
    for i in order:
        if keep_zeros or last[i] != 0:
            side[n] = keys[i] >> SIDE_BIT
            price[n] = keys[i] & MAX_PRICE
            quantity[n] = last[i]
            n += 1
    return side[:n], price[:n], quantity[:n]


@njit(cache=True, **FLAGS)
def merge(side_1, price_1, quantity_1, side_2, price_2, quantity_2, keep_zeros):
    """Return the union of two sorted lists of levels; where both name a level, the second counts."""
    size = side_1.size + side_2.size
    side = np.empty(size, np.int8)
    price = np.empty(size, np.int64)
    quantity = np.empty(size, np.int64)
    i = j = n = 0
    while i < side_1.size or j < side_2.size:
        order = 0
        if i < side_1.size and j < side_2.size:
            key_1 = (np.int64(side_1[i]) << SIDE_BIT) | price_1[i]
            key_2 = (np.int64(side_2[j]) << SIDE_BIT) | price_2[j]
            order = (key_1 > key_2) - (key_1 < key_2)
        else:
            order = -1 if i < side_1.size else 1
        if order < 0:
            side[n], price[n], quantity[n] = side_1[i], price_1[i], quantity_1[i]
        else:
            side[n], price[n], quantity[n] = side_2[j], price_2[j], quantity_2[j]
        i += order <= 0
        j += order >= 0
        n += keep_zeros or quantity[n] != 0
    return side[:n], price[:n], quantity[:n]


@njit(cache=True, **FLAGS)
def number_prices(side, price, table, number, distinct, n, ids):
    """Write the number of each row's price into ids, -1 for a CLEAR; prices are numbered from 0 as they come first.

    Takes and returns the table of the numbers so far; an empty one makes a new table.
    """
    bits = first_table_bits(side.size)
    if table.size == 0:
        distinct = np.empty(1 << (bits - 1), np.int64)
        table, number = rehash(distinct, 0, bits)
    else:
        bits = trailing_zeros(table.size)
    mask = table.size - 1
    for i in range(side.size):
        if side[i] == CLEAR:
            ids[i] = -1
            continue
        key = price[i]
        h = top_bits(key * HASH_FACTOR, bits)
        while table[h] != key and table[h] != -1:
            h = (h + 1) & mask
        if table[h] == key:
            ids[i] = number[h]
            continue
        if n == distinct.size:
            bits += 2
            distinct = longer(distinct, 1 << (bits - 1))
            table, number = rehash(distinct, n, bits)
            mask = table.size - 1
            h = top_bits(key * HASH_FACTOR, bits)
            while table[h] != -1:
                h = (h + 1) & mask
        table[h] = key
        number[h] = n
        distinct[n] = key
        ids[i] = n
        n += 1
    return table, number, distinct, n


@njit(cache=True, **FLAGS)
def numbers_to_slots(side, ids, rank, size):
    """Replace numbers of prices by slots, with `size` slots a side; -1 stays."""
    for i in range(side.size):
        if ids[i] >= 0:
            r = rank[ids[i]]
            ids[i] = size + r if side[i] == ASK else size - 1 - r


@njit(**INLINE)
def set_bit(bits_0, bits_1, bits_2, slot):
    """Mark a level."""
    word = slot >> 6
    bits_0[word] |= 1 << (slot & 63)
    bits_1[word >> 6] |= 1 << (word & 63)
    bits_2[word >> 12] |= 1 << ((word >> 6) & 63)


@njit(**INLINE)
def clear_bit(bits_0, bits_1, bits_2, slot):
    """Unmark a level."""
    word = slot >> 6
    bits_0[word] &= ~(1 << (slot & 63))
    if bits_0[word] == 0:
        bits_1[word >> 6] &= ~(1 << (word & 63))
        if bits_1[word >> 6] == 0:
            bits_2[word >> 12] &= ~(1 << ((word >> 6) & 63))


@njit(**FLAGS)
def word_from(bits_0, bits_1, bits_2, word):
    """Return the first word from `word` on that is not empty."""
    group = word >> 6
    if group >= bits_1.size:
        return bits_0.size - 1
    found = bits_1[group] & (-1 << (word & 63))
    if found == 0:
        group += 1
        top = group >> 6
        if top >= bits_2.size:
            return bits_0.size - 1
        found = bits_2[top] & (-1 << (group & 63))
        while found == 0:
            top += 1
            found = bits_2[top]
        group = (top << 6) + trailing_zeros(found)
        found = bits_1[group]
    return (group << 6) + trailing_zeros(found)


@njit(**INLINE)
def level_from(bits_0, bits_1, bits_2, slot):
    """Return the first level from `slot` on; the bit behind the last slot if there is none."""
    word = slot >> 6
    found = bits_0[word] & (-1 << (slot & 63))
    if found == 0:
        word = word_from(bits_0, bits_1, bits_2, word + 1)
        found = bits_0[word]
    return (word << 6) + trailing_zeros(found)


@njit(**FLAGS)
def empty_book(size, quantities, bits_0, bits_1, bits_2):
    """Remove every level."""
    slot = level_from(bits_0, bits_1, bits_2, 0)
    while slot < 2 * size:
        quantities[slot] = 0
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)
    bits_0[:] = 0
    bits_1[:] = 0
    bits_2[:] = 0
    set_bit(bits_0, bits_1, bits_2, 2 * size)


@njit(**INLINE)
def write_top(row, best, end, mask, depth, quantities, bits_0, bits_1, bits_2, prices, price, quantity):
    """Write up to `depth` levels from slot `best` on; return how many, and the slot up to which a change would show."""
    n = 0
    slot = best
    if slot < end:
        word = slot >> 6
        found = bits_0[word] & (-1 << (slot & 63))
        while True:
            while found != 0:
                slot = (word << 6) + trailing_zeros(found)
                price[row, n] = prices[slot ^ mask]
                quantity[row, n] = quantities[slot]
                n += 1
                if n == depth:
                    return n, slot
                found &= found - 1
            word = word_from(bits_0, bits_1, bits_2, word + 1)
            if word << 6 >= end:
                break
            found = bits_0[word]
    for k in range(n, depth):
        price[row, k] = 0
        quantity[row, k] = 0
    return n, end


@njit(**FLAGS)
def count_below(prices, n, bound, guess):
    """Return how many of the n sorted prices are below `bound`, searching outwards from `guess`."""
    low = high = min(guess, n)
    step = 1
    while low > 0 and prices[low - 1] >= bound:
        high = low - 1
        low = max(0, low - step)
        step <<= 1
    step = 1
    while high < n and prices[high] < bound:
        low = high + 1
        high = min(n, high + step)
        step <<= 1
    while low < high:
        middle = (low + high) >> 1
        if prices[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**FLAGS)
def move_limit(sums, old, new, quantities, bits_0, bits_1, bits_2):
    """Add the levels from slot `old` to before `new` to the sum, or take away those from `new` to before `old`."""
    sign = 1 if new > old else -1
    first, end = min(old, new), max(old, new)
    slot = level_from(bits_0, bits_1, bits_2, first)
    while slot < end:
        sums[0] += sign * (quantities[slot] >> HALF)
        sums[1] += sign * (quantities[slot] & LOW_HALF)
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)


@njit(**INLINE)
def to_float(sums):
    """Return a sum of high and low halves of quantities: correctly rounded, as both terms are exact."""
    high = sums[0] + (sums[1] >> HALF)
    return float(high) * HALF_FLOAT + float(sums[1] & LOW_HALF)


@njit(**FLAGS)
def move_limits(total, bps, size, prices, n_prices, limits, sums, quantities, bits_0, bits_1, bits_2):
    """Bring the limits of each depth to where the two best prices sum up to `total`."""
    # A bid counts if 20000 price >= total (10000 - bps); multiplied in two parts, nothing is beyond 64 bits.
    whole, rest = total // (2 * BPS), total % (2 * BPS)
    for j in range(bps.size):
        k = max(BPS - bps[j], 0)
        bound = whole * k + (rest * k + 2 * BPS - 1) // (2 * BPS)
        new = size - count_below(prices, n_prices, bound, size - limits[BID, j])
        move_limit(sums[BID, j], limits[BID, j], new, quantities, bits_0, bits_1, bits_2)
        limits[BID, j] = new
        k = BPS + bps[j]
        bound = np.int64(MAX_PRICE) + 1
        if whole <= MAX_PRICE // k:
            bound = min(bound, whole * k + rest * k // (2 * BPS) + 1)
        new = size + count_below(prices, n_prices, bound, limits[ASK, j] - size)
        move_limit(sums[ASK, j], limits[ASK, j], new, quantities, bits_0, bits_1, bits_2)
        limits[ASK, j] = new


@njit(**FLAGS)
def write_sweep(row, best, end, mask, quantities, bits_0, bits_1, bits_2, float_prices, notionals, average):
    """Write the average price at which each notional is filled, NaN where it is not; return the last slot seen.

    Notionals are ascending and counted like price times quantity as an integer.
    """
    spent = filled = 0.0
    slot = best
    j = 0
    while j < notionals.size and slot < end:
        price, quantity = float_prices[slot ^ mask], float(quantities[slot])
        spent_next = spent + price * quantity
        while j < notionals.size and notionals[j] <= spent_next:
            average[row, j] = notionals[j] / (filled + (notionals[j] - spent) / price)
            j += 1
        if j == notionals.size:
            return slot
        spent = spent_next
        filled += quantity
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)
    for i in range(j, notionals.size):
        average[row, i] = np.nan
    return end


@njit(cache=True, **FLAGS)
def put_start(slots, quantity, quantities, bits_0, bits_1, bits_2, best, limits):
    """Empty the book and put a full book into it."""
    size = quantities.size // 2
    quantities[:] = 0
    bits_0[:] = 0
    bits_1[:] = 0
    bits_2[:] = 0
    set_bit(bits_0, bits_1, bits_2, 2 * size)
    best[BID], best[ASK] = size, 2 * size
    for i in range(slots.size):
        slot = slots[i]
        if quantity[i] != 0:
            quantities[slot] = quantity[i]
            set_bit(bits_0, bits_1, bits_2, slot)
            side = ASK if slot >= size else BID
            best[side] = min(best[side], slot)
    limits[BID, :] = 0
    limits[ASK, :] = size


@njit(cache=True, **FLAGS)
def advance(
    slots,
    quantity,
    offsets,
    wanted,
    quantities,
    bits_0,
    bits_1,
    bits_2,
    best,
    total,
    limits,
    sums,
    prices,
    float_prices,
    bps,
    notionals,
    unit,
    n_levels,
    bid_price,
    bid_quantity,
    ask_price,
    ask_quantity,
    depth_bid,
    depth_ask,
    sweep_bid,
    sweep_ask,
    crossed,
):
    """Apply messages to the book and write a row of states for each wanted one.

    `best`, `total` (of the best prices at the last move of limits), `limits` and `sums` go on from call to call.
    `unit` is the power of ten by which quantities are scaled.
    """
    size = quantities.size // 2
    end_bid, end_ask = size, 2 * size
    depth = bid_price.shape[1]
    shift = trailing_zeros(size)
    touched = np.zeros(2, np.int64)  # the best slot of each side that has changed since the last row
    top_to = np.zeros(2, np.int64)  # the slots up to which a change shows
    sweep_to = np.zeros(2, np.int64)
    row = 0
    for m in range(wanted.size):
        for i in range(offsets[m], offsets[m + 1]):
            slot = np.int64(slots[i])
            if slot < 0:
                empty_book(size, quantities, bits_0, bits_1, bits_2)
                best[BID], best[ASK] = end_bid, end_ask
                touched[:] = 0
                sums[:] = 0
                continue
            side = slot >> shift
            new, old = quantity[i], quantities[slot]
            quantities[slot] = new
            touched[side] = min(touched[side], slot)
            j = bps.size - 1
            while j >= 0 and slot < limits[side, j]:
                sums[side, j, 0] += (new >> HALF) - (old >> HALF)
                sums[side, j, 1] += (new & LOW_HALF) - (old & LOW_HALF)
                j -= 1
            if old == 0:
                if new != 0:
                    set_bit(bits_0, bits_1, bits_2, slot)
                    best[side] = min(best[side], slot)
            elif new == 0:
                clear_bit(bits_0, bits_1, bits_2, slot)
                if slot == best[side]:
                    best[side] = min(level_from(bits_0, bits_1, bits_2, slot + 1), size << side)
        if not wanted[m]:
            continue
        if touched[BID] <= top_to[BID] or row == 0:
            n_levels[row, BID], top_to[BID] = write_top(
                row,
                best[BID],
                end_bid,
                size - 1,
                depth,
                quantities,
                bits_0,
                bits_1,
                bits_2,
                prices,
                bid_price,
                bid_quantity,
            )
        else:
            n_levels[row, BID] = n_levels[row - 1, BID]
            for k in range(depth):
                bid_price[row, k] = bid_price[row - 1, k]
            for k in range(depth):
                bid_quantity[row, k] = bid_quantity[row - 1, k]
        if touched[ASK] <= top_to[ASK] or row == 0:
            n_levels[row, ASK], top_to[ASK] = write_top(
                row,
                best[ASK],
                end_ask,
                size,
                depth,
                quantities,
                bits_0,
                bits_1,
                bits_2,
                prices,
                ask_price,
                ask_quantity,
            )
        else:
            n_levels[row, ASK] = n_levels[row - 1, ASK]
            for k in range(depth):
                ask_price[row, k] = ask_price[row - 1, k]
            for k in range(depth):
                ask_quantity[row, k] = ask_quantity[row - 1, k]
        two_sided = best[BID] < end_bid and best[ASK] < end_ask
        crossed[row] = two_sided and prices[best[BID] ^ (size - 1)] > prices[best[ASK] ^ size]
        if bps.size > 0:
            if two_sided:
                sum_of_best = prices[best[BID] ^ (size - 1)] + prices[best[ASK] ^ size]
                if sum_of_best != total[0]:
                    move_limits(
                        sum_of_best, bps, size, prices, prices.size, limits, sums, quantities, bits_0, bits_1, bits_2
                    )
                    total[0] = sum_of_best
                for j in range(bps.size):
                    depth_bid[row, j] = to_float(sums[BID, j]) / unit
                    depth_ask[row, j] = to_float(sums[ASK, j]) / unit
            else:
                depth_bid[row, :] = np.nan
                depth_ask[row, :] = np.nan
        if notionals.size > 0:
            if touched[BID] <= sweep_to[BID] or row == 0:
                sweep_to[BID] = write_sweep(
                    row,
                    best[BID],
                    end_bid,
                    size - 1,
                    quantities,
                    bits_0,
                    bits_1,
                    bits_2,
                    float_prices,
                    notionals,
                    sweep_bid,
                )
            else:
                for j in range(notionals.size):
                    sweep_bid[row, j] = sweep_bid[row - 1, j]
            if touched[ASK] <= sweep_to[ASK] or row == 0:
                sweep_to[ASK] = write_sweep(
                    row,
                    best[ASK],
                    end_ask,
                    size,
                    quantities,
                    bits_0,
                    bits_1,
                    bits_2,
                    float_prices,
                    notionals,
                    sweep_ask,
                )
            else:
                for j in range(notionals.size):
                    sweep_ask[row, j] = sweep_ask[row - 1, j]
        touched[:] = NOWHERE
        row += 1


@njit(cache=True, **FLAGS)
def levels_of(quantities, bits_0, bits_1, bits_2, prices):
    """Return side, price and quantity of all levels, sorted by side, then price."""
    size = quantities.size // 2
    n = 0
    slot = level_from(bits_0, bits_1, bits_2, 0)
    while slot < 2 * size:
        n += 1
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)
    side = np.empty(n, np.int8)
    price = np.empty(n, np.int64)
    quantity = np.empty(n, np.int64)
    n_bids = i = 0
    slot = level_from(bits_0, bits_1, bits_2, 0)
    while slot < size:
        n_bids += 1
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)
    slot = level_from(bits_0, bits_1, bits_2, 0)
    while slot < 2 * size:
        bid = slot < size
        at = n_bids - 1 - i if bid else i  # bids come best first, that is in descending order
        side[at] = BID if bid else ASK
        price[at] = prices[slot ^ (size - 1 if bid else size)]
        quantity[at] = quantities[slot]
        i += 1
        slot = level_from(bits_0, bits_1, bits_2, slot + 1)
    return side, price, quantity
