"""How often Python looks for garbage that refers to itself."""

import gc

# Python's own 700 is meant for programs that hold little: while reports pile up, all of them are looked through again
# and again for a handful of cycles. Of objects that stay within a call, this many take some 10 MB.
NEW_OBJECTS = 100_000


def look_seldom() -> None:
    """Garbage is looked for after 100,000 new objects; what is there by now stays, and is not looked at again."""
    gc.set_threshold(NEW_OBJECTS)
    gc.freeze()
