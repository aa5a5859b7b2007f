"""The compiled scanner: bytes of whole lines in, values in columns out.

It accepts a line only if it has checked every byte of it against a declared shape; whatever it does not understand, it
hands back as a slow line for the strict parser, which alone judges what is valid. So the scanner may refuse anything,
but must never accept what the strict parser rejects, nor read a value otherwise. That is why it refuses duplicate and
unknown keys, escapes, non-ASCII text, exponents and numbers of more than 18 digits instead of handling them.

Speed comes of four things. Bytes are looked at 32 at a time: a comparison of a vector gives a mask with a bit for each
byte, and its lowest bit says where a string, a number or an equality ends. Digits become numbers eight at a time within
a word. What stood at a place last time, a key or a time, is expected there again and compared as a whole. And each
value goes at once to its place in its column, in its final width.

Bounds: the buffer ends with `PADDING` zero bytes, every primitive stops at a byte that it does not expect, and no JSON
text contains a zero byte, so none begins behind the first one; from there it reads at most 64 bytes.

Memory: `p` is the address of the bytes, `c` that of a context of int64 slots that `etl_ray.scan.plan` lays out: single
values, and records of objects, fields, choices and shapes. A record is handed on as its offset from `c` in bytes.
Passing arrays instead costs a hundredfold, since Numba hands each on as seven arguments and counts references to it at
every use.

Positions are returned as -1 on failure. All kernels stand in this one file because Numba's on-disk cache notices a
change only in the file of the function that it has cached, `scan_block`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from etl_ray.venues.rows import NULL

# How a value is read and what is written: a float; integer and scale; all three; and then one value.
FLOAT, DECIMAL, EXACT, INTEGER, TIME, GO_TIME, EPOCH_SECONDS, CHOICE, PRODUCT, ANY = range(10)
# Values of structure: what is in them is not a single value.
DATA, META, EVENTS, ROWS = range(10, 14)

LANES = 32
"""Bytes that are looked at at a time: the longest text of a key or choice, quotes and colon included."""
SYMBOL_CHARS = 64
MAX_DIGITS = 18
PLAUSIBLE_FROM_YEAR, PLAUSIBLE_TO_YEAR = 2010, 2100

# Slots of the context. First counters and single values; *_AT are addresses of columns, objects are records.
N_MESSAGES, N_SLOW, N_LINES, N_BLANK, N_SYMBOLS, N_LARGE, CLOCK_1, CLOCK_2, CLOCK_NS = range(9)
MESSAGE_CAP, EVENT_CAP, ROW_CAP, SLOW_CAP, SYMBOL_CAP, LARGE_CAP, HASH_MASK = range(9, 16)
LINE_AT, FIRST_PRODUCT_AT, CHANNEL_AT, CAPTURE_AT, SLOW_AT, LARGE_AT, NAMES_AT = range(16, 23)
ENVELOPE, MESSAGE, FIRST_SHAPE, N_SHAPES = range(23, 27)
# Tables, at their first items' offsets: powers of ten as integers and as floats; by channel, symbol and hash.
TENS, FLOAT_TENS, SHAPE_OF, SYMBOL_LEN, SYMBOL_SLOT, HASH = range(27, 33)
N_SINGLES = 33

# A field: the text of its key with quotes and colon, a mask of its bytes and their number; its bit among the keys of
# its object; the addresses of its columns, and of that where an event's value is repeated for each row; its choices.
# SAME_* is a text that it has had, with quotes, and the value of that.
KEY_TEXT, KEY_MASK, KEY_SPAN, KIND, BIT, NULLABLE, SIGNED = 0, 4, 5, 6, 7, 8, 9
COLUMN, SCALES, FLOATS, ROW_COLUMN, NUMBER, FIRST_CHOICE, N_CHOICES = range(10, 17)
SAME_TEXT, SAME_MASK, SAME_SPAN, SAME_VALUE, FIELD_SLOTS = 17, 21, 22, 23, 24
# A choice: its text with quotes.
CHOICE_TEXT, CHOICE_MASK, CHOICE_SPAN, CHOICE_SLOTS = 0, 4, 5, 6
# An object: its first field and their number, bits of keys that it needs, and of those that are null where they are
# missing; then, for each position, the field that stood there last time.
FIRST_FIELD, N_FIELDS, REQUIRED, STORED, GUESSES = range(5)
# A shape: its objects (no event's object if the event is the row), fields of its products (0: none), the type of an
# event if an empty snapshot is a row; counts, those before the line, and columns.
EVENT, ROW, EVENT_PRODUCT, ROW_PRODUCT, EMPTY_ROW_TYPE, N_EVENTS, N_ROWS, EVENTS_BEFORE, ROWS_BEFORE = range(9)
EVENT_MESSAGE_AT, ROW_MESSAGE_AT, ROW_EVENT_AT, ROW_INDEX_AT, SHAPE_SLOTS = range(9, 14)

NAN = 0x7FF8_0000_0000_0000
_EVERY_LANE = (1 << LANES) - 1
_LARGEST_FLOAT = 2**53

# Only `scan_block` is called from Python. Numba compiles a function anew for each literal that it is called with, so
# counts begin with int64(0) here.
int64 = types.int64
FLAGS = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
INLINE = {**FLAGS, "forceinline": True}

_BYTE, _HALF, _WORD, _REAL = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_LANES = ir.VectorType(_BYTE, LANES)


def _pointer(builder, address, offset, item):
    return builder.inttoptr(builder.add(address, offset), item.as_pointer())


def _load(builder, address, offset, item):
    value = builder.load(_pointer(builder, address, offset, item))
    value.align = 1
    return value


def _store(builder, address, offset, value):
    builder.store(value, _pointer(builder, address, offset, value.type)).align = 1


def _slot(builder, slot):
    return builder.shl(slot, ir.Constant(_WORD, 3))


def _lanes(value):
    return ir.Constant(_LANES, [value] * LANES)


def _as_mask(builder, lanes, always=0):
    mask = builder.zext(builder.bitcast(lanes, ir.IntType(LANES)), _WORD)
    return builder.or_(mask, ir.Constant(_WORD, always))


@intrinsic
def byte(typing, p, i):
    """Return the byte at p + i."""

    def generate(context, builder, signature, args):
        return builder.zext(_load(builder, args[0], args[1], _BYTE), _WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def half(typing, p, i):
    """Return the int32 at p + i."""

    def generate(context, builder, signature, args):
        return builder.sext(_load(builder, args[0], args[1], _HALF), _WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def word(typing, p, i):
    """Return the eight bytes from p + i on as a little-endian integer."""

    def generate(context, builder, signature, args):
        return _load(builder, args[0], args[1], _WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def real(typing, p, i):
    """Return the float at p + i."""

    def generate(context, builder, signature, args):
        return _load(builder, args[0], args[1], _REAL)

    return types.float64(types.int64, types.int64), generate


@intrinsic
def put_byte(typing, p, i, value):
    """Store one byte at p + i."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], args[1], builder.trunc(args[2], _BYTE))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def put_half(typing, p, i, value):
    """Store an int32 at p + i."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], args[1], builder.trunc(args[2], _HALF))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def put_word(typing, p, i, value):
    """Store eight bytes at p + i."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def put_real(typing, p, i, value):
    """Store a float at p + i."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


@intrinsic
def copy_lanes(typing, p, i, q, j):
    """Copy the 32 bytes at q + j to p + i."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], args[1], _load(builder, args[2], args[3], _LANES))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def differing(typing, p, i, q, j):
    """Return the mask of those of the 32 bytes at p + i that are not those at q + j."""

    def generate(context, builder, signature, args):
        one, other = _load(builder, args[0], args[1], _LANES), _load(builder, args[2], args[3], _LANES)
        return _as_mask(builder, builder.icmp_unsigned("!=", one, other))

    return types.int64(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def no_digits(typing, p, i):
    """Return the mask of those of the 32 bytes at p + i that are no digits, and a bit behind them."""

    def generate(context, builder, signature, args):
        digits = builder.sub(_load(builder, args[0], args[1], _LANES), _lanes(48))
        return _as_mask(builder, builder.icmp_unsigned(">", digits, _lanes(9)), 1 << LANES)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def string_ends(typing, p, i):
    r"""Return the mask of those of the 32 bytes at p + i that end plain text: " \ and all but printable ASCII."""

    def generate(context, builder, signature, args):
        found = _load(builder, args[0], args[1], _LANES)
        special = builder.icmp_unsigned(">", builder.sub(found, _lanes(32)), _lanes(126 - 32))
        for char in (34, 92):
            special = builder.or_(special, builder.icmp_unsigned("==", found, _lanes(char)))
        return _as_mask(builder, special, 1 << LANES)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def line_ends(typing, p, i):
    """Return the mask of those of the 32 bytes at p + i that are line ends, and a bit behind them."""

    def generate(context, builder, signature, args):
        found = _load(builder, args[0], args[1], _LANES)
        return _as_mask(builder, builder.icmp_unsigned("==", found, _lanes(10)), 1 << LANES)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def lowest(typing, mask):
    """Return the position of the lowest bit of a mask that has one."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def few_digits(typing, text, n):
    """Return the number that the first n of the eight digits in `text` are, 0 <= n <= 8.

    Neighbours are joined three times: to four numbers of two digits, two of four, one of eight.
    """

    def generate(context, builder, signature, args):
        def constant(value):
            return ir.Constant(_WORD, value)

        def times(value, keep, factor):
            return builder.mul(builder.and_(value, constant(keep)), constant(factor))

        # The digits go to the end, behind zeros; in two steps, since none may be as wide as the word.
        shift = builder.sub(constant(32), builder.shl(args[1], constant(2)))
        digits = builder.and_(args[0], constant(0x0F0F0F0F0F0F0F0F))
        digits = builder.shl(builder.shl(digits, shift), shift)
        pairs = builder.add(builder.mul(digits, constant(10)), builder.lshr(digits, constant(8)))
        lower = times(pairs, 0x000000FF000000FF, 100 + (1_000_000 << 32))
        upper = times(builder.lshr(pairs, constant(16)), 0x000000FF000000FF, 1 + (10_000 << 32))
        return builder.lshr(builder.add(lower, upper), constant(32))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def get(typing, c, slot):
    """Return a single value of the context."""

    def generate(context, builder, signature, args):
        return _load(builder, args[0], _slot(builder, args[1]), _WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def put(typing, c, slot, value):
    """Set a single value of the context."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], _slot(builder, args[1]), args[2])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def of(typing, c, record, slot):
    """Return an item of a record."""

    def generate(context, builder, signature, args):
        return _load(builder, args[0], builder.add(args[1], _slot(builder, args[2])), _WORD)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def note(typing, c, record, slot, value):
    """Set an item of a record."""

    def generate(context, builder, signature, args):
        _store(builder, args[0], builder.add(args[1], _slot(builder, args[2])), args[3])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@njit(**INLINE)
def is_digit(p, i):
    """Return whether the byte is 0 to 9."""
    return 48 <= byte(p, i) <= 57


@njit(**FLAGS)
def skip_blanks(p, i):
    """Return the first position from i on that is no space, tab or carriage return."""
    while byte(p, i) == 32 or byte(p, i) == 9 or byte(p, i) == 13:
        i += 1
    return i


@njit(**INLINE)
def skip_space(p, i):
    """Return the first position from i on that is no space, tab or carriage return; mostly it is i."""
    return i if byte(p, i) > 32 else skip_blanks(p, i)


@njit(**INLINE)
def has_text(p, i, c, record, text):
    """Return whether the text at slot `text` of a record, which its mask follows, stands at p + i."""
    return differing(p, i, c, record + (text << 3)) & of(c, record, text + 4) == 0


@njit(**INLINE)
def skip_string(p, i):
    """Return the position after a plain ASCII string that starts at i."""
    if byte(p, i) != 34:
        return -1
    i += 1
    found = string_ends(p, i)
    while found == 1 << LANES:
        i += LANES
        found = string_ends(p, i)
    i += lowest(found)
    return i + 1 if byte(p, i) == 34 else -1


@njit(**FLAGS)
def skip_flat(p, i):
    """Return the position after an object of strings."""
    if byte(p, i) != 123:
        return -1
    i = skip_space(p, i + 1)
    if byte(p, i) == 125:
        return i + 1
    while True:
        i = skip_string(p, i)
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) != 58:
            return -1
        i = skip_string(p, skip_space(p, i + 1))
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) == 125:
            return i + 1
        if byte(p, i) != 44:
            return -1
        i = skip_space(p, i + 1)


@njit(**FLAGS)
def skip_list(p, i):
    """Return the position after a list, found by its brackets; what is within is checked when it is scanned later."""
    if byte(p, i) != 91:
        return -1
    depth = 0
    while True:
        b = byte(p, i)
        if b == 34:
            i = skip_string(p, i)
            if i < 0:
                return -1
            continue
        if b < 32 and b != 9 and b != 13:
            return -1
        if b == 91 or b == 123:
            depth += 1
        elif b == 93 or b == 125:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1


@njit(**FLAGS)
def many_digits(p, i, n):
    """Return the number that n digits are, n <= 18."""
    value = 0
    for k in range(n):
        value = value * 10 + (byte(p, i + k) - 48)
    return value


@njit(**INLINE)
def put_number(value, scale, f, row, c):
    """Store a decimal; return False if there is no room for what has to be rounded elsewhere."""
    kind = of(c, f, KIND)
    if kind != FLOAT:
        put_word(of(c, f, COLUMN), row << 3, value)
        put_byte(of(c, f, SCALES), row, scale)
    if kind == DECIMAL:
        return True
    # Both operands are exact floats, so one division rounds correctly.
    put_real(of(c, f, FLOATS), row << 3, value / real(c, get(c, FLOAT_TENS) + (scale << 3)))
    if -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT:
        return True
    large, at = get(c, N_LARGE), get(c, LARGE_AT)
    if large >= get(c, LARGE_CAP):
        return False
    put_word(at, large << 5, of(c, f, NUMBER))
    put_word(at, (large << 5) + 8, row)
    put_word(at, (large << 5) + 16, value)
    put_word(at, (large << 5) + 24, scale)
    put(c, N_LARGE, large + 1)
    return True


@njit(**INLINE)
def scan_number(p, i, f, row, c):
    """Read a quoted decimal; return the position after it."""
    if byte(p, i) != 34:
        return -1
    i += 1
    negative = byte(p, i) == 45
    if negative:
        if not of(c, f, SIGNED):
            return -1
        i += 1
    found = no_digits(p, i)
    whole = lowest(found)
    fraction = i + whole + 1
    dotted = byte(p, i + whole) == 46
    scale = lowest(found & (found - 1) | 1 << LANES) - whole - 1 if dotted else 0
    end = fraction + scale if dotted else i + whole
    if byte(p, end) != 34 or whole == 0 or (dotted and scale == 0) or whole + scale > MAX_DIGITS:
        return -1
    power = word(c, get(c, TENS) + (scale << 3))
    if whole <= 8 and scale <= 8:
        value = few_digits(word(p, i), whole) * power + few_digits(word(p, fraction), scale)
    else:
        value = many_digits(p, i, whole) * power + many_digits(p, fraction, scale)
    return end + 1 if put_number(-value if negative else value, scale, f, row, c) else -1


@njit(**INLINE)
def scan_integer(p, i):
    """Return (value, position after) of an integer, quoted or not."""
    quoted = byte(p, i) == 34
    if quoted:
        i += 1
    digits = lowest(no_digits(p, i))
    if digits == 0 or digits > MAX_DIGITS:
        return 0, -1
    if digits <= 8:
        value = few_digits(word(p, i), digits)
    else:
        value = many_digits(p, i, digits)
    end = i + digits
    if quoted:
        return (value, end + 1) if byte(p, end) == 34 else (0, -1)
    if digits > 1 and byte(p, i) == 48:  # JSON has no numbers with leading zeros
        return 0, -1
    return value, end


@njit(**INLINE)
def two(p, i):
    """Return two digits as a number, or -1."""
    if is_digit(p, i) and is_digit(p, i + 1):
        return (byte(p, i) - 48) * 10 + (byte(p, i + 1) - 48)
    return -1


@njit(**FLAGS)
def minute_ns(p, i, separator):
    """Return the ns of `YYYY-MM-DDTHH:MM`, NULL if implausible, -1 if it is no such time."""
    century, years = two(p, i), two(p, i + 2)
    month, day, hour, minute = two(p, i + 5), two(p, i + 8), two(p, i + 11), two(p, i + 14)
    if century < 0 or years < 0 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return -1
    if (
        minute < 0
        or minute > 59
        or byte(p, i + 4) != 45
        or byte(p, i + 7) != 45
        or byte(p, i + 10) != separator
        or byte(p, i + 13) != 58
    ):
        return -1
    year = century * 100 + years
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    long_month = month in (1, 3, 5, 7, 8, 10, 12)
    month_days = 31 if long_month else 30
    if month == 2:
        month_days = 29 if leap else 28
    if year == 0 or day > month_days:
        return -1
    if year < PLAUSIBLE_FROM_YEAR or year >= PLAUSIBLE_TO_YEAR:
        return NULL
    # Days since 1970 in the proleptic Gregorian calendar, with the year taken to begin in March.
    shifted = year - 1 if month <= 2 else year
    from_march = month + 9 if month <= 2 else month - 3
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * from_march + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60_000_000_000


@njit(**INLINE)
def scan_clock(p, i, separator, c):
    """Return (ns, position of the zone) of a time without zone; NULL if implausible. Remembers the last minute."""
    if word(p, i) != get(c, CLOCK_1) or word(p, i + 8) != get(c, CLOCK_2) or byte(p, i + 10) != separator:
        ns = minute_ns(p, i, separator)
        if ns == -1:
            return 0, -1
        put(c, CLOCK_1, word(p, i))
        put(c, CLOCK_2, word(p, i + 8))
        put(c, CLOCK_NS, ns)
    ns = get(c, CLOCK_NS)
    second = two(p, i + 17)
    if byte(p, i + 16) != 58 or second < 0 or second > 59:
        return 0, -1
    i += 19
    fraction = 0
    if byte(p, i) == 46:
        digits = lowest(no_digits(p, i + 1))
        if digits == 0 or digits > 9:
            return 0, -1
        fraction = few_digits(word(p, i + 1), min(digits, 8))
        if digits == 9:
            fraction = fraction * 10 + byte(p, i + 9) - 48
        fraction *= word(c, get(c, TENS) + ((9 - digits) << 3))
        i += digits + 1
    return (NULL if ns == NULL else ns + second * 1_000_000_000 + fraction), i


@njit(**INLINE)
def skip_zone(p, i):
    """Return the position after `Z` or `+00:00`."""
    if byte(p, i) == 90:
        return i + 1
    if byte(p, i) == 43 and two(p, i + 1) == 0 and byte(p, i + 3) == 58 and two(p, i + 4) == 0:
        return i + 6
    return -1


@njit(**FLAGS)
def skip_go_zone(p, i):
    """Return the position after ` +0000 UTC`, optionally followed by ` m=`, a sign and a decimal number."""
    if byte(p, i) != 32 or byte(p, i + 1) != 43 or two(p, i + 2) != 0 or two(p, i + 4) != 0:
        return -1
    if byte(p, i + 6) != 32 or byte(p, i + 7) != 85 or byte(p, i + 8) != 84 or byte(p, i + 9) != 67:
        return -1
    i += 10
    if byte(p, i) != 32:
        return i
    if byte(p, i + 1) != 109 or byte(p, i + 2) != 61 or (byte(p, i + 3) != 43 and byte(p, i + 3) != 45):
        return -1
    i += 4
    start = i
    while is_digit(p, i):
        i += 1
    if i == start:
        return -1
    if byte(p, i) == 46:
        i += 1
        start = i
        while is_digit(p, i):
            i += 1
        if i == start:
            return -1
    return i


@njit(**FLAGS)
def scan_other_time(p, i, f, row, c):
    """Read a quoted time and remember its text, if that is no longer than a vector; return the position after it."""
    if byte(p, i) != 34:
        return -1
    go = of(c, f, KIND) == GO_TIME
    ns, end = scan_clock(p, i + 1, 32 if go else 84, c)
    if end >= 0:
        end = skip_go_zone(p, end) if go else skip_zone(p, end)
    if end < 0 or byte(p, end) != 34 or (ns == NULL and not of(c, f, NULLABLE)):
        return -1
    end += 1
    put_word(of(c, f, COLUMN), row << 3, ns)
    if end - i < LANES:
        copy_lanes(c, f + (SAME_TEXT << 3), p, i)
        note(c, f, SAME_MASK, (1 << (end - i)) - 1)
        note(c, f, SAME_SPAN, end - i)
        note(c, f, SAME_VALUE, ns)
    return end


@njit(**INLINE)
def scan_time(p, i, f, row, c):
    """Read a quoted time; return the position after it."""
    if has_text(p, i, c, f, SAME_TEXT):
        put_word(of(c, f, COLUMN), row << 3, of(c, f, SAME_VALUE))
        return i + of(c, f, SAME_SPAN)
    return scan_other_time(p, i, f, row, c)


@njit(**INLINE)
def front(text, n):
    """Return a word without all but its first n bytes; none if n < 0."""
    if n >= 8:
        return text
    return text & ((1 << (max(n, 0) << 3)) - 1)


@njit(**FLAGS)
def add_symbol(p, i, n, slot, c):
    """Add a name of `[A-Z0-9._-]` to the symbol table; return its number, or -1."""
    fresh = get(c, N_SYMBOLS)
    if n > SYMBOL_CHARS or byte(p, i) == 46 or fresh >= get(c, SYMBOL_CAP):
        return -1
    for k in range(n):
        b = byte(p, i + k)
        if not (65 <= b <= 90 or 48 <= b <= 57 or b == 45 or b == 46 or b == 95):
            return -1
    names = get(c, NAMES_AT) + fresh * SYMBOL_CHARS
    for k in range(SYMBOL_CHARS):
        put_byte(names, k, byte(p, i + k) if k < n else 0)
    put_word(c, get(c, SYMBOL_LEN) + (fresh << 3), n)
    put_word(c, get(c, SYMBOL_SLOT) + (fresh << 3), slot)
    put_word(c, get(c, HASH) + (slot << 3), fresh)
    put(c, N_SYMBOLS, fresh + 1)
    return fresh


@njit(**INLINE)
def is_symbol(p, i, n, known, c):
    """Return whether the n bytes at p + i, of which the first 16 were compared, are the name of a symbol."""
    if word(c, get(c, SYMBOL_LEN) + (known << 3)) != n:
        return False
    names = get(c, NAMES_AT) + known * SYMBOL_CHARS
    for k in range(16, n):
        if byte(p, i + k) != byte(names, k):
            return False
    return True


@njit(**FLAGS)
def scan_symbol(p, i, f, row, c):
    """Read the quoted name of a product as its number in the symbol table; return the position after it."""
    end = skip_string(p, i) - 1
    i += 1
    n = end - i
    if n <= 0:
        return -1
    first, second = front(word(p, i), n), front(word(p, i + 8), n - 8)
    mixed = first * 0x1E3779B97F4A7C15 + second * 0x42B2AE3D27D4EB4F
    slot = (mixed >> 40) & get(c, HASH_MASK)
    table, names = get(c, HASH), get(c, NAMES_AT)
    symbol = word(c, table + (slot << 3))
    while symbol >= 0:
        at = symbol * SYMBOL_CHARS
        if word(names, at) == first and word(names, at + 8) == second and is_symbol(p, i, n, symbol, c):
            break
        slot = (slot + 1) & get(c, HASH_MASK)
        symbol = word(c, table + (slot << 3))
    if symbol < 0:
        symbol = add_symbol(p, i, n, slot, c)
        if symbol < 0:
            return -1
    put_half(of(c, f, COLUMN), row << 2, symbol)
    return end + 1


@njit(**INLINE)
def scan_choice(p, i, f, row, c):
    """Read a quoted word as its position among the field's choices; return the position after it."""
    choice = of(c, f, FIRST_CHOICE)
    for k in range(of(c, f, N_CHOICES)):
        if has_text(p, i, c, choice, CHOICE_TEXT):
            put_byte(of(c, f, COLUMN), row, k)
            return i + of(c, choice, CHOICE_SPAN)
        choice += CHOICE_SLOTS << 3
    return -1


@njit(**INLINE)
def scan_count(p, i, f, row, c):
    """Read an integer, or epoch seconds as ns; return the position after it."""
    value, i = scan_integer(p, i)
    if of(c, f, KIND) == EPOCH_SECONDS:
        if value < 1_262_304_000 or value >= 4_102_444_800:  # 2010 to 2099, as in etl_ray.scan.values
            return -1
        value *= 1_000_000_000
    put_word(of(c, f, COLUMN), row << 3, value)
    return i


@njit(**FLAGS)
def put_null(f, row, c):
    """Store null, as a number's or time's columns have it."""
    kind = of(c, f, KIND)
    if kind != FLOAT:
        put_word(of(c, f, COLUMN), row << 3, NULL)
    if kind == FLOAT or kind == EXACT:
        put_word(of(c, f, FLOATS), row << 3, NAN)
    if kind == DECIMAL or kind == EXACT:
        put_byte(of(c, f, SCALES), row, -1)


@njit(**FLAGS)
def scan_null(p, i, f, row, c):
    """Read an empty string or `null`, where that is allowed; return the position after it."""
    if not of(c, f, NULLABLE):
        return -1
    end = i + 2
    if byte(p, i) != 34 or byte(p, i + 1) != 34:
        end = i + 4
        if byte(p, i) != 110 or byte(p, i + 1) != 117 or byte(p, i + 2) != 108 or byte(p, i + 3) != 108:
            return -1
    put_null(f, row, c)
    return end


@njit(**INLINE)
def scan_value(p, i, f, row, c):
    """Read a scalar as the kind of its field says into row `row` of its columns; return the position after it."""
    kind = of(c, f, KIND)
    if kind <= EXACT:
        end = scan_number(p, i, f, row, c)
        return end if end >= 0 else scan_null(p, i, f, row, c)
    if kind == CHOICE:
        return scan_choice(p, i, f, row, c)
    if kind == TIME or kind == GO_TIME:
        end = scan_time(p, i, f, row, c)
        return end if end >= 0 else scan_null(p, i, f, row, c)
    if kind == PRODUCT:
        return scan_symbol(p, i, f, row, c)
    if kind == ANY:
        return skip_string(p, i)
    return scan_count(p, i, f, row, c)


@njit(**FLAGS)
def scan_single(p, i, f, row, c):
    """Do what `scan_value` does, where that need not be compiled in again: not in rows."""
    return scan_value(p, i, f, row, c)


@njit(**FLAGS)
def find_key(p, i, o, position, c):
    """Return (field, position after the colon) of the key of an object that stands at p + i behind any space.

    The field is expected there next time.
    """
    i = skip_space(p, i)
    if position >= of(c, o, N_FIELDS):
        return 0, -1
    guess = o + ((GUESSES + position) << 3)
    first, n = of(c, o, FIRST_FIELD), of(c, o, N_FIELDS)
    for k in range(-1, n):
        f = word(c, guess) if k < 0 else first + k * (FIELD_SLOTS << 3)
        # There may be a space before the colon, which is the last byte of the text.
        if differing(p, i, c, f + (KEY_TEXT << 3)) & (of(c, f, KEY_MASK) >> 1) == 0:
            i = skip_space(p, i + of(c, f, KEY_SPAN) - 1)
            if byte(p, i) != 58:
                return 0, -1
            put_word(c, guess, f)
            return f, i + 1
    return 0, -1


@njit(**INLINE)
def scan_key(p, i, o, position, c):
    """Return (field, position of the value) of the key at p + i, the one at `position` of an object.

    Objects of one shape mostly have one key order, so the field that stood at this position last time comes first.
    """
    f = word(c, o + ((GUESSES + position) << 3))
    if has_text(p, i, c, f, KEY_TEXT):
        i += of(c, f, KEY_SPAN)
    else:
        f, i = find_key(p, i, o, position, c)
        if i < 0:
            return 0, -1
    return f, skip_space(p, i)


@njit(**INLINE)
def open_object(p, i):
    """Return the position of the first key of an object, or of its end."""
    return skip_space(p, i + 1) if byte(p, i) == 123 else -1


@njit(**INLINE)
def complete(o, seen, c):
    """Return whether all keys that an object needs were seen."""
    required = of(c, o, REQUIRED)
    return seen & required == required


@njit(**FLAGS)
def store_nulls(absent, o, row, c):
    """Store null for the fields of a row that are missing."""
    f = of(c, o, FIRST_FIELD)
    for _ in range(of(c, o, N_FIELDS)):
        if absent & of(c, f, BIT):
            put_null(f, row, c)
        f += FIELD_SLOTS << 3


@njit(**INLINE)
def scan_row(p, i, o, row, c):
    """Scan a flat object into row `row` of the columns of its fields; return the position after it."""
    i = open_object(p, i)
    if i < 0:
        return -1
    seen, position = int64(0), int64(0)
    if byte(p, i) != 125:
        while True:
            f, i = scan_key(p, i, o, position, c)
            if i < 0 or seen & of(c, f, BIT):
                return -1
            seen |= of(c, f, BIT)
            i = scan_value(p, i, f, row, c)
            if i < 0:
                return -1
            i = skip_space(p, i)
            if byte(p, i) != 44:
                break
            i += 1
            position += 1
    if byte(p, i) != 125 or not complete(o, seen, c):
        return -1
    absent = of(c, o, STORED) & ~seen
    if absent:
        store_nulls(absent, o, row, c)
    return i + 1


@njit(**FLAGS)
def scan_rows(p, i, shape, message, event_index, c):
    """Scan a list of row objects of an event, or one row object; return the position after it."""
    is_list = of(c, shape, EVENT) != 0
    if is_list:
        if byte(p, i) != 91:
            return -1
        i = skip_space(p, i + 1)
        if byte(p, i) == 93:
            return i + 1
    o = of(c, shape, ROW)
    row = of(c, shape, N_ROWS)
    index = int64(0)
    while True:
        if row >= get(c, ROW_CAP):
            return -1
        put_half(of(c, shape, ROW_MESSAGE_AT), row << 2, message)
        put_half(of(c, shape, ROW_EVENT_AT), row << 2, event_index)
        put_half(of(c, shape, ROW_INDEX_AT), row << 2, index)
        i = scan_row(p, i, o, row, c)
        if i < 0:
            return -1
        row += 1
        index += 1
        if is_list:
            i = skip_space(p, i)
            if byte(p, i) == 44:
                i = skip_space(p, i + 1)
                continue
            if byte(p, i) != 93:
                return -1
            i += 1
        note(c, shape, N_ROWS, row)
        return i


@njit(**FLAGS)
def repeat_for_rows(o, event, first, last, c):
    """Store the values of an event's fields for each of its rows, from `first` to before `last`."""
    f = of(c, o, FIRST_FIELD)
    for _ in range(of(c, o, N_FIELDS)):
        kind, at, rows = of(c, f, KIND), of(c, f, COLUMN), of(c, f, ROW_COLUMN)
        if kind == CHOICE:
            value = byte(at, event)
            for row in range(first, last):
                put_byte(rows, row, value)
        elif kind == PRODUCT:
            value = half(at, event << 2)
            for row in range(first, last):
                put_half(rows, row << 2, value)
        elif kind != ROWS:
            value = word(at, event << 3)
            for row in range(first, last):
                put_word(rows, row << 3, value)
        f += FIELD_SLOTS << 3


@njit(**FLAGS)
def scan_event(p, i, shape, message, event, event_index, c):
    """Scan an event with a list of rows; return the position after it."""
    o = of(c, shape, EVENT)
    first_row = of(c, shape, N_ROWS)
    i = open_object(p, i)
    if i < 0:
        return -1
    seen, position = int64(0), int64(0)
    if byte(p, i) != 125:
        while True:
            f, i = scan_key(p, i, o, position, c)
            if i < 0 or seen & of(c, f, BIT):
                return -1
            seen |= of(c, f, BIT)
            if of(c, f, KIND) == ROWS:
                i = scan_rows(p, i, shape, message, event_index, c)
            else:
                i = scan_single(p, i, f, event, c)
            if i < 0:
                return -1
            i = skip_space(p, i)
            if byte(p, i) != 44:
                break
            i += 1
            position += 1
    if byte(p, i) != 125 or not complete(o, seen, c):
        return -1
    last_row = of(c, shape, N_ROWS)
    # An empty snapshot of a book is a row of its own: left to the strict parser.
    kind = of(c, shape, EMPTY_ROW_TYPE)
    if kind and last_row == first_row and byte(of(c, kind, COLUMN), event) == 0:
        return -1
    repeat_for_rows(o, event, first_row, last_row, c)
    return i + 1


@njit(**FLAGS)
def scan_events(p, i, shape, message, c):
    """Scan the list of events of a message; return the position after it."""
    if byte(p, i) != 91:
        return -1
    i = skip_space(p, i + 1)
    if byte(p, i) == 93:
        return i + 1
    index = int64(0)
    while True:
        event = of(c, shape, N_EVENTS)
        if event >= get(c, EVENT_CAP):
            return -1
        put_half(of(c, shape, EVENT_MESSAGE_AT), event << 2, message)
        if of(c, shape, EVENT):
            i = scan_event(p, i, shape, message, event, index, c)
        else:
            i = scan_rows(p, i, shape, message, index, c)
        if i < 0:
            return -1
        note(c, shape, N_EVENTS, event + 1)
        index += 1
        i = skip_space(p, i)
        if byte(p, i) == 93:
            return i + 1
        if byte(p, i) != 44:
            return -1
        i = skip_space(p, i + 1)


@njit(**INLINE)
def first_product(shape, c):
    """Return the symbol of the product of the first event or row of a line's message, or -1."""
    f, event = of(c, shape, EVENT_PRODUCT), of(c, shape, EVENTS_BEFORE)
    if f and event < of(c, shape, N_EVENTS):
        return half(of(c, f, COLUMN), event << 2)
    f, row = of(c, shape, ROW_PRODUCT), of(c, shape, ROWS_BEFORE)
    if f and row < of(c, shape, N_ROWS):
        return half(of(c, f, COLUMN), row << 2)
    return -1


@njit(**FLAGS)
def scan_message(p, i, message, c):
    """Scan a message into the columns of messages, but for its line; return the position after it."""
    o = get(c, MESSAGE)
    channel = of(c, o, FIRST_FIELD)
    i = open_object(p, i)
    if i < 0:
        return -1
    seen, position = int64(0), int64(0)
    shape, deferred, deferred_end = int64(0), int64(-1), int64(-1)
    if byte(p, i) != 125:
        while True:
            f, i = scan_key(p, i, o, position, c)
            if i < 0 or seen & of(c, f, BIT):
                return -1
            seen |= of(c, f, BIT)
            if of(c, f, KIND) != EVENTS:
                i = scan_single(p, i, f, message, c)
                if i >= 0 and f == channel:
                    shape = word(c, get(c, SHAPE_OF) + (byte(get(c, CHANNEL_AT), message) << 3))
                    if shape == 0:
                        return -1
            elif shape:
                i = scan_events(p, i, shape, message, c)
            else:  # the channel is not known yet
                deferred = i
                i = skip_list(p, i)
                deferred_end = i
            if i < 0:
                return -1
            i = skip_space(p, i)
            if byte(p, i) != 44:
                break
            i += 1
            position += 1
    if byte(p, i) != 125 or not complete(o, seen, c):
        return -1
    if deferred >= 0 and scan_events(p, deferred, shape, message, c) != deferred_end:
        return -1
    put_half(get(c, FIRST_PRODUCT_AT), message << 2, first_product(shape, c))
    return i + 1


@njit(**FLAGS)
def scan_line(p, i, message, c):
    """Scan an envelope or a bare message; return the position after it."""
    put_word(get(c, CAPTURE_AT), message << 3, NULL)
    o = get(c, ENVELOPE)
    start = i
    i = open_object(p, i)
    if i < 0:
        return -1
    seen, position = int64(0), int64(0)
    while True:
        f, i = scan_key(p, i, o, position, c)
        if i < 0 and position == 0:
            return scan_message(p, start, message, c)
        if i < 0 or seen & of(c, f, BIT):
            return -1
        seen |= of(c, f, BIT)
        kind = of(c, f, KIND)
        if kind == DATA:
            i = scan_message(p, i, message, c)
        elif kind == META:
            i = skip_flat(p, i)
        else:
            i = scan_single(p, i, f, message, c)
        if i < 0:
            return -1
        i = skip_space(p, i)
        if byte(p, i) != 44:
            break
        i += 1
        position += 1
    return i + 1 if byte(p, i) == 125 and complete(o, seen, c) else -1


@njit(**INLINE)
def begin_line(c):
    """Note what there is before a line."""
    shape = get(c, FIRST_SHAPE)
    for _ in range(get(c, N_SHAPES)):
        note(c, shape, EVENTS_BEFORE, of(c, shape, N_EVENTS))
        note(c, shape, ROWS_BEFORE, of(c, shape, N_ROWS))
        shape += SHAPE_SLOTS << 3


@njit(**FLAGS)
def roll_back(symbols, large, c):
    """Forget the events, rows and new symbols of a line that turned out to be slow.

    A symbol must not outlive its line, which may be private. The last that came go first, so that the rest of the
    table is as if they had never been there.
    """
    for symbol in range(get(c, N_SYMBOLS) - 1, symbols - 1, -1):
        put_word(c, get(c, HASH) + (word(c, get(c, SYMBOL_SLOT) + (symbol << 3)) << 3), -1)
    put(c, N_SYMBOLS, symbols)
    put(c, N_LARGE, large)
    shape = get(c, FIRST_SHAPE)
    for _ in range(get(c, N_SHAPES)):
        note(c, shape, N_EVENTS, of(c, shape, EVENTS_BEFORE))
        note(c, shape, N_ROWS, of(c, shape, ROWS_BEFORE))
        shape += SHAPE_SLOTS << 3


@njit(**FLAGS)
def line_end(p, i, size):
    """Return the position of the next line end, or size."""
    while i < size:
        found = line_ends(p, i)
        if found != 1 << LANES:
            return i + lowest(found)  # before size: behind it are zeros
        i += LANES
    return size


@njit(cache=True, nogil=True, error_model="numpy")  # with everything that it calls
def scan_block(p, i, size, line, c):
    """Scan whole lines of the `size` bytes at p from i on, where line number `line` begins.

    Returns the position of the first line that was not looked at: size, or less when the columns are full.
    """
    while i < size:
        message = get(c, N_MESSAGES)
        slow = get(c, N_SLOW)
        if message >= get(c, MESSAGE_CAP) or slow >= get(c, SLOW_CAP):
            break
        start = i
        i = skip_space(p, i)
        if i < size and byte(p, i) != 10:
            begin_line(c)
            symbols, large = get(c, N_SYMBOLS), get(c, N_LARGE)
            end = scan_line(p, i, message, c)
            if end >= 0:
                end = skip_space(p, end)
            # At the end of the data the padding stands where the line end would.
            if end == size or (0 <= end < size and byte(p, end) == 10):
                put_word(get(c, LINE_AT), message << 3, line)
                put(c, N_MESSAGES, message + 1)
                i = end
            else:
                roll_back(symbols, large, c)
                i = line_end(p, i, size)
                slow_at, cap = get(c, SLOW_AT), get(c, SLOW_CAP)
                put_word(slow_at, slow << 3, line)
                put_word(slow_at, (cap + slow) << 3, start)
                put_word(slow_at, (2 * cap + slow) << 3, i)
                put(c, N_SLOW, slow + 1)
        else:
            put(c, N_BLANK, get(c, N_BLANK) + 1)
        line += 1
        put(c, N_LINES, get(c, N_LINES) + 1)
        i += 1
    return i
