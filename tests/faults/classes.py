"""The classes of faults that are held, by number, as docs/testing.md has them."""

CLASSES = {
    2: "pods of every pace, from several seeds",
    5: "killed before or after a write",
    6: "killed twice",
    7: "a request that fails",
    8: "a write whose answer is lost",
    9: "a line of a watch that is lost, or comes with the next ones",
    10: "gaps in a watch",
    11: "answers from the past",
    12: "caches that learn late of our own writes",
    13: "who leads: kills, pauses, partitions, clocks",
    14: "objects changed and deleted by others",
    15: "silence when nothing changes",
    16: "custom resources of every shape",
    18: "one bad object beside many good ones",
    20: "a month of changes and faults",
    23: "rights used and granted",
    25: "deletion",
    27: "people who change their minds",
}
